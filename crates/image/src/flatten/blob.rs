//! A layer's blob as a stream of tar bytes, whatever it is compressed with.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::Refusal;

const BUFFER: usize = 256 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Frames that decoders pass over; archives that can be read in parts begin or end with one. The
/// lowest four bits are free (RFC 8878, section 3.1.2).
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Opens a blob. Every byte that comes out counts against `unpacked`, so that a small blob which
/// inflates without end is stopped while it does.
pub(super) fn open<'a>(
    path: &Path,
    limit: u64,
    unpacked: &'a mut u64,
) -> io::Result<BufReader<Meter<'a>>> {
    let mut raw = BufReader::with_capacity(BUFFER, File::open(path)?);
    let magic = raw.fill_buf()?;
    let stream: Box<dyn Read> = if magic.starts_with(&GZIP) {
        // Several members in a row are one stream (RFC 1952, section 2.2), and layers that can be
        // read in parts are made of many.
        Box::new(MultiGzDecoder::new(raw))
    } else if magic.starts_with(&ZSTD) || magic.get(1..4) == Some(&ZSTD_SKIPPABLE) {
        Box::new(zstd::Decoder::with_buffer(raw)?)
    } else {
        Box::new(raw)
    };
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
