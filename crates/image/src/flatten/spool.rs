//! File content on its way from the layers to the result. A layer may bring a file that a later one
//! removes, so content waits in a file without a name until the tree is known; memory holds where it
//! lies, never what it is.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::refusal::{Refusal, Trouble};
use crate::squashfs::BLOCK_SIZE;

const WRITE_BUFFER: usize = 1 << 20;

/// Names a content in its spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ContentId(pub(super) u32);

/// Where a content lies.
#[derive(Debug)]
struct Stored {
    len: u64,
    start: u64,
    /// Numbers of blocks that are all zeros, in ascending ranges; these are not stored.
    holes: Box<[Range<u64>]>,
}

/// The content that layers have brought so far, each different one once.
pub(super) struct Spool {
    out: BufWriter<File>,
    offset: u64,
    stored: Vec<Stored>,
    known: HashMap<[u8; 32], ContentId>,
    block: Vec<u8>,
}

impl Spool {
    /// A spool in `folder` that is gone when it is dropped, or when the process dies.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self {
            out: BufWriter::with_capacity(WRITE_BUFFER, file),
            offset: 0,
            stored: Vec::new(),
            known: HashMap::new(),
            block: vec![0; BLOCK_SIZE],
        })
    }

    /// Starts on a content.
    pub(super) fn begin(&mut self) -> Incoming<'_> {
        Incoming {
            start: self.offset,
            spool: self,
            filled: 0,
            block_number: 0,
            holes: Vec::new(),
            digest: Sha256::new(),
        }
    }

    /// Ends writing.
    pub(super) fn finish(self) -> io::Result<Spooled> {
        let file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(Spooled {
            file,
            stored: self.stored,
        })
    }
}

/// A content that is being written.
pub(super) struct Incoming<'a> {
    spool: &'a mut Spool,
    start: u64,
    /// Bytes in the spool's block.
    filled: usize,
    block_number: u64,
    holes: Vec<Range<u64>>,
    digest: Sha256,
}

impl Incoming<'_> {
    /// Appends the next `count` bytes of `input`.
    pub(super) fn copy(&mut self, input: &mut dyn Read, mut count: u64) -> Result<(), Trouble> {
        while count > 0 {
            let room = (BLOCK_SIZE - self.filled) as u64;
            let want = room.min(count) as usize;
            let target = &mut self.spool.block[self.filled..self.filled + want];
            match input.read(target) {
                Ok(0) => return Err(Refusal::Damaged("it ends within a file").into()),
                Ok(read) => {
                    self.filled += read;
                    count -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if self.filled == BLOCK_SIZE {
                self.end_block().map_err(Trouble::Spool)?;
            }
        }
        Ok(())
    }

    /// Appends `count` zeros; takes no longer for many than for few.
    pub(super) fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        let block = BLOCK_SIZE as u64;
        while count > 0 {
            if self.filled == 0 && count >= block {
                let blocks = count / block;
                self.hole(blocks);
                count %= block;
                continue;
            }
            let fill = ((BLOCK_SIZE - self.filled) as u64).min(count) as usize;
            self.spool.block[self.filled..self.filled + fill].fill(0);
            self.filled += fill;
            count -= fill as u64;
            if self.filled == BLOCK_SIZE {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn hole(&mut self, blocks: u64) {
        let next = self.block_number;
        self.block_number += blocks;
        match self.holes.last_mut() {
            Some(last) if last.end == next => last.end = self.block_number,
            _ => self.holes.push(next..self.block_number),
        }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let block = &self.spool.block[..self.filled];
        if is_zero(block) {
            self.filled = 0;
            self.hole(1);
            return Ok(());
        }
        self.digest.update(block);
        self.spool.out.write_all(block)?;
        self.spool.offset += self.filled as u64;
        self.block_number += 1;
        self.filled = 0;
        Ok(())
    }

    /// Ends the content. If an equal one is there, that one is named.
    pub(super) fn finish(mut self) -> io::Result<ContentId> {
        let len = self.block_number * BLOCK_SIZE as u64 + self.filled as u64;
        let tail = &self.spool.block[..self.filled];
        let tail_is_hole = is_zero(tail);
        if tail_is_hole && self.filled > 0 {
            self.filled = 0;
            self.hole(1);
        }
        let tail = &self.spool.block[..self.filled];
        self.digest.update(tail);
        let digest = self.content_digest(len);
        if let Some(known) = self.spool.known.get(&digest) {
            return Ok(*known);
        }
        self.spool.out.write_all(tail)?;
        self.spool.offset += self.filled as u64;
        let id = ContentId(self.spool.stored.len() as u32);
        self.spool.known.insert(digest, id);
        self.spool.stored.push(Stored {
            len,
            start: self.start,
            holes: self.holes.into_boxed_slice(),
        });
        Ok(id)
    }

    /// Over the blocks that are stored, then where the others are: a hole of any size costs nothing.
    /// What follows the blocks can be told from them, as it is read from its end.
    fn content_digest(&self, len: u64) -> [u8; 32] {
        let mut digest = self.digest.clone();
        digest.update(len.to_le_bytes());
        for hole in &self.holes {
            digest.update(hole.start.to_le_bytes());
            digest.update(hole.end.to_le_bytes());
        }
        digest.update((self.holes.len() as u64).to_le_bytes());
        digest.finalize().into()
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // Compares the bytes with themselves, one further: a memcmp, which is fast in every build.
    bytes
        .first()
        .is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

/// A spool that is complete.
pub(super) struct Spooled {
    file: File,
    stored: Vec<Stored>,
}

impl Spooled {
    /// How many contents there are; their ids count from 0.
    pub(super) fn count(&self) -> usize {
        self.stored.len()
    }

    /// Length, holes and the stored bytes.
    pub(super) fn open(&self, id: ContentId) -> (u64, &[Range<u64>], impl Read + '_) {
        let stored = &self.stored[id.0 as usize];
        let reader = Region {
            file: &self.file,
            offset: stored.start,
        };
        (stored.len, &stored.holes, reader)
    }
}

struct Region<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for Region<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> Spool {
        Spool::create(&std::env::temp_dir()).unwrap()
    }

    fn add(spool: &mut Spool, bytes: &[u8]) -> ContentId {
        let mut incoming = spool.begin();
        incoming.copy(&mut &*bytes, bytes.len() as u64).unwrap();
        incoming.finish().unwrap()
    }

    fn read(spooled: &Spooled, id: ContentId) -> (u64, Vec<Range<u64>>, Vec<u8>) {
        let (len, holes, reader) = spooled.open(id);
        let stored =
            len - holes.iter().map(|hole| hole.end - hole.start).sum::<u64>() * BLOCK_SIZE as u64;
        let mut bytes = Vec::new();
        reader.take(stored).read_to_end(&mut bytes).unwrap();
        (len, holes.to_vec(), bytes)
    }

    #[test]
    fn equal_contents_are_kept_once() {
        let mut spool = spool();
        let first = add(&mut spool, b"abc");
        assert_ne!(add(&mut spool, b"abd"), first);
        assert_eq!(add(&mut spool, b"abc"), first);
        assert_eq!(spool.finish().unwrap().count(), 2);
    }

    #[test]
    fn zero_blocks_become_holes_however_they_arrive() {
        let mut spool = spool();
        let mut bytes = vec![0; BLOCK_SIZE * 4];
        bytes[BLOCK_SIZE] = 1;
        let read_in = add(&mut spool, &bytes);
        let mut incoming = spool.begin();
        incoming.zeros(BLOCK_SIZE as u64).unwrap();
        incoming.copy(&mut &[1u8][..], 1).unwrap();
        incoming.zeros(BLOCK_SIZE as u64 * 3 - 1).unwrap();
        assert_eq!(incoming.finish().unwrap(), read_in);
        let spooled = spool.finish().unwrap();
        let (len, holes, stored) = read(&spooled, read_in);
        assert_eq!(len, bytes.len() as u64);
        assert_eq!(holes, [0..1, 2..4]);
        assert_eq!(stored, bytes[BLOCK_SIZE..2 * BLOCK_SIZE]);
    }

    #[test]
    fn huge_hole_takes_no_space() {
        let mut spool = spool();
        let mut incoming = spool.begin();
        incoming.zeros(1 << 40).unwrap();
        incoming.copy(&mut &b"end"[..], 3).unwrap();
        let id = incoming.finish().unwrap();
        assert_eq!(spool.offset, 3);
        let (len, holes, stored) = read(&spool.finish().unwrap(), id);
        assert_eq!(len, (1 << 40) + 3);
        assert_eq!(
            holes.as_slice(),
            std::slice::from_ref(&(0..(1 << 40) / BLOCK_SIZE as u64))
        );
        assert_eq!(stored, b"end");
    }

    #[test]
    fn holes_of_different_places_are_different_contents() {
        let mut spool = spool();
        let mut front = vec![0; BLOCK_SIZE * 2];
        let mut back = front.clone();
        front[BLOCK_SIZE] = 1;
        back[0] = 1;
        assert_ne!(add(&mut spool, &front), add(&mut spool, &back));
    }

    #[test]
    fn input_that_ends_early_is_refused() {
        let mut spool = spool();
        let error = spool.begin().copy(&mut &b"abc"[..], 4).unwrap_err();
        assert!(matches!(error, Trouble::Refused(Refusal::Damaged(_))));
    }
}
