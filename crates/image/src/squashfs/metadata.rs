//! Metadata: everything but file content lies in blocks of 8 KiB, each behind two bytes that give
//! its length. As none is compressed, where a byte will lie follows from how many stand before it.

use super::Error;

/// Bytes of metadata in one block.
pub(super) const BLOCK: usize = 8192;
const HEADER: usize = 2;
/// In a block's header: stored as it is.
const UNCOMPRESSED: u16 = 1 << 15;

/// A run of metadata blocks in the making.
#[derive(Default)]
pub(super) struct Metadata {
    bytes: Vec<u8>,
}

/// A place in a run of metadata blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Of the block's header, from the start of the run.
    pub(super) block: u32,
    /// In the block's content.
    pub(super) offset: u16,
}

impl Position {
    /// As inodes and attribute sets are referred to.
    pub(super) fn reference(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

impl Metadata {
    /// Where the next byte will lie.
    pub(super) fn position(&self) -> Result<Position, Error> {
        let block = self.bytes.len() / BLOCK * (BLOCK + HEADER);
        Ok(Position {
            block: u32::try_from(block).map_err(|_| Error::TooLarge)?,
            offset: (self.bytes.len() % BLOCK) as u16,
        })
    }

    /// Bytes so far, headers left out.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// As it lies on disk.
    pub(super) fn encode(&self) -> Vec<u8> {
        let blocks = self.bytes.len().div_ceil(BLOCK);
        let mut out = Vec::with_capacity(self.bytes.len() + blocks * HEADER);
        for block in self.bytes.chunks(BLOCK) {
            out.extend((block.len() as u16 | UNCOMPRESSED).to_le_bytes());
            out.extend_from_slice(block);
        }
        out
    }

    /// As it lies on disk at `start`, followed by the offsets of its blocks, which is how a table
    /// with entries of one size is found: the superblock names the offset of that list, returned
    /// beside the bytes.
    pub(super) fn encode_indexed(&self, start: u64) -> (Vec<u8>, u64) {
        let mut out = self.encode();
        let index = start + out.len() as u64;
        for block in 0..self.bytes.len().div_ceil(BLOCK) {
            out.extend((start + (block * (BLOCK + HEADER)) as u64).to_le_bytes());
        }
        (out, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_the_headers_of_the_blocks_before() {
        let mut metadata = Metadata::default();
        metadata.extend(&vec![7; BLOCK + 5]);
        let position = metadata.position().unwrap();
        assert_eq!(
            position,
            Position {
                block: 8194,
                offset: 5
            }
        );
        assert_eq!(position.reference(), 8194 << 16 | 5);
        assert_eq!(metadata.encode().len(), BLOCK + 5 + 2 * HEADER);
    }

    #[test]
    fn full_block_leaves_the_next_byte_in_a_new_one() {
        let mut metadata = Metadata::default();
        metadata.extend(&vec![7; BLOCK]);
        assert_eq!(
            metadata.position().unwrap(),
            Position {
                block: 8194,
                offset: 0
            }
        );
    }

    #[test]
    fn index_names_the_offset_of_each_block() {
        let mut metadata = Metadata::default();
        metadata.extend(&vec![7; BLOCK + 1]);
        let (bytes, index) = metadata.encode_indexed(1000);
        assert_eq!(index, 1000 + (BLOCK + HEADER + HEADER + 1) as u64);
        let list = &bytes[(index - 1000) as usize..];
        assert_eq!(
            list,
            [1000u64.to_le_bytes(), 9194u64.to_le_bytes()].concat()
        );
    }
}
