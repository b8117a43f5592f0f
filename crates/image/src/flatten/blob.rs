//! A layer's blob as a stream of tar bytes, whatever it is compressed with.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::Refusal;
use crate::compression;

const BUFFER: usize = 256 * 1024;

/// Opens a blob. Every byte that comes out counts against `unpacked`, so that a small blob which
/// inflates without end is stopped while it does.
pub(super) fn open<'a>(
    path: &Path,
    limit: u64,
    unpacked: &'a mut u64,
) -> io::Result<BufReader<Meter<'a>>> {
    let raw = BufReader::with_capacity(BUFFER, File::open(path)?);
    let stream = compression::reader(raw)?;
    let meter = Meter {
        stream,
        limit,
        unpacked,
    };
    Ok(BufReader::with_capacity(BUFFER, meter))
}

/// Counts what passes.
pub(super) struct Meter<'a> {
    stream: Box<dyn Read>,
    limit: u64,
    unpacked: &'a mut u64,
}

impl Read for Meter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        *self.unpacked += count as u64;
        if *self.unpacked > self.limit {
            let limit = self.limit;
            return Err(io::Error::other(Refusal::TooManyBytes { limit }));
        }
        Ok(count)
    }
}
