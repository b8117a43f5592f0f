//! The content of files: full blocks one after the other, short files together in fragment blocks.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::ops::Range;

use super::metadata::Metadata;
use super::{Error, superblock};

/// Bytes in one block of a file.
pub const BLOCK_SIZE: usize = 1 << BLOCK_LOG;
pub(super) const BLOCK_LOG: u16 = 17;
/// In the recorded size of a block: stored as it is.
const UNCOMPRESSED: u32 = 1 << 24;
/// What a file without a fragment names as its fragment.
const NO_FRAGMENT: u32 = u32::MAX;
const WRITE_BUFFER: usize = 1 << 20;

/// The content of a file once it has been written. Any number of inodes may name it.
#[derive(Debug)]
pub struct Content {
    pub(super) len: u64,
    /// Where its blocks begin.
    pub(super) start: u64,
    /// The size of each block as recorded; 0 for a hole.
    pub(super) blocks: Vec<u32>,
    /// Number of the fragment block and place in it.
    pub(super) fragment: u32,
    pub(super) fragment_offset: u32,
    /// Bytes that take no space.
    pub(super) sparse: u64,
}

impl Content {
    /// The file without a byte.
    pub fn empty() -> Self {
        Self {
            len: 0,
            start: 0,
            blocks: Vec::new(),
            fragment: NO_FRAGMENT,
            fragment_offset: 0,
            sparse: 0,
        }
    }
}

/// The part of the output that holds content.
pub(super) struct Contents {
    out: BufWriter<File>,
    offset: u64,
    /// The fragment block in the making.
    fragment: Vec<u8>,
    fragment_table: Metadata,
    fragments: u32,
    block: Vec<u8>,
}

impl Contents {
    /// Leaves room for the superblock, which is known last.
    pub(super) fn new(file: File) -> Result<Self, Error> {
        let mut out = BufWriter::with_capacity(WRITE_BUFFER, file);
        out.write_all(&[0; superblock::SIZE as usize])
            .map_err(Error::Write)?;
        Ok(Self {
            out,
            offset: superblock::SIZE,
            fragment: Vec::with_capacity(BLOCK_SIZE),
            fragment_table: Metadata::default(),
            fragments: 0,
            block: vec![0; BLOCK_SIZE],
        })
    }

    /// Copies one file in. `holes` are ranges of block numbers, ascending; `data` gives the bytes
    /// of all other blocks, one after the other.
    pub(super) fn add(
        &mut self,
        len: u64,
        holes: &[Range<u64>],
        data: &mut dyn Read,
    ) -> Result<Content, Error> {
        let mut content = Content {
            len,
            ..Content::empty()
        };
        if len == 0 {
            return Ok(content);
        }
        if len < BLOCK_SIZE as u64 && holes.is_empty() {
            self.add_fragment(&mut content, data)?;
            return Ok(content);
        }
        content.start = self.offset;
        let count = len.div_ceil(BLOCK_SIZE as u64);
        let mut holes = holes.iter().peekable();
        for number in 0..count {
            while holes.next_if(|hole| hole.end <= number).is_some() {}
            let size = (len - number * BLOCK_SIZE as u64).min(BLOCK_SIZE as u64) as usize;
            if holes.peek().is_some_and(|hole| hole.contains(&number)) {
                content.blocks.push(0);
                content.sparse += size as u64;
                continue;
            }
            let block = &mut self.block[..size];
            data.read_exact(block).map_err(Error::Read)?;
            self.out.write_all(block).map_err(Error::Write)?;
            self.offset += size as u64;
            content.blocks.push(size as u32 | UNCOMPRESSED);
        }
        // mksquashfs keeps the field below the length; readers have come to expect it.
        content.sparse = content.sparse.min(len - 1);
        Ok(content)
    }

    fn add_fragment(&mut self, content: &mut Content, data: &mut dyn Read) -> Result<(), Error> {
        let size = content.len as usize;
        if self.fragment.len() + size > BLOCK_SIZE {
            self.flush_fragment()?;
        }
        content.fragment = self.fragments;
        content.fragment_offset = self.fragment.len() as u32;
        self.fragment.resize(self.fragment.len() + size, 0);
        let place = content.fragment_offset as usize;
        data.read_exact(&mut self.fragment[place..])
            .map_err(Error::Read)
    }

    fn flush_fragment(&mut self) -> Result<(), Error> {
        if self.fragment.is_empty() {
            return Ok(());
        }
        self.fragment_table.extend(&self.offset.to_le_bytes());
        let size = self.fragment.len() as u32 | UNCOMPRESSED;
        self.fragment_table.extend(&size.to_le_bytes());
        self.fragment_table.extend(&0u32.to_le_bytes());
        self.out.write_all(&self.fragment).map_err(Error::Write)?;
        self.offset += self.fragment.len() as u64;
        self.fragments += 1;
        self.fragment.clear();
        Ok(())
    }

    /// Writes what is pending; the tables follow in the output from the offset.
    pub(super) fn finish(mut self) -> Result<Finished, Error> {
        self.flush_fragment()?;
        Ok(Finished {
            out: self.out,
            offset: self.offset,
            fragment_table: self.fragment_table,
            fragments: self.fragments,
        })
    }
}

/// What is left once all content has been written.
pub(super) struct Finished {
    pub(super) out: BufWriter<File>,
    pub(super) offset: u64,
    pub(super) fragment_table: Metadata,
    pub(super) fragments: u32,
}
