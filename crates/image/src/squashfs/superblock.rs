//! The first 96 bytes of the file.

/// Bytes that the superblock takes.
pub(super) const SIZE: u64 = 96;
/// Stands for a table that is not there.
pub(super) const ABSENT: u64 = u64::MAX;

const MAGIC: u32 = 0x7371_7368;
const COMPRESSOR_GZIP: u16 = 1;
const VERSION: (u16, u16) = (4, 0);

mod flag {
    pub(super) const INODES_UNCOMPRESSED: u16 = 0x0001;
    pub(super) const DATA_UNCOMPRESSED: u16 = 0x0002;
    pub(super) const FRAGMENTS_UNCOMPRESSED: u16 = 0x0008;
    pub(super) const NO_FRAGMENTS: u16 = 0x0010;
    pub(super) const DUPLICATES_REMOVED: u16 = 0x0040;
    pub(super) const EXPORTABLE: u16 = 0x0080;
    pub(super) const XATTRS_UNCOMPRESSED: u16 = 0x0100;
    pub(super) const NO_XATTRS: u16 = 0x0200;
    pub(super) const IDS_UNCOMPRESSED: u16 = 0x0800;
}

/// Where everything is. Offsets are from the start of the file.
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) fragments: u32,
    pub(super) ids: u16,
    pub(super) block_log: u16,
    pub(super) root: u64,
    pub(super) bytes_used: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: u64,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
    pub(super) export_table: u64,
}

impl Superblock {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut flags = flag::INODES_UNCOMPRESSED
            | flag::DATA_UNCOMPRESSED
            | flag::FRAGMENTS_UNCOMPRESSED
            | flag::DUPLICATES_REMOVED
            | flag::EXPORTABLE
            | flag::XATTRS_UNCOMPRESSED
            | flag::IDS_UNCOMPRESSED;
        if self.fragments == 0 {
            flags |= flag::NO_FRAGMENTS;
        }
        if self.xattr_table == ABSENT {
            flags |= flag::NO_XATTRS;
        }
        // The time of making is the epoch: the same tree gives the same bytes on every day.
        let made_at = 0u32;

        let mut out = Vec::with_capacity(SIZE as usize);
        out.extend(MAGIC.to_le_bytes());
        out.extend(self.inodes.to_le_bytes());
        out.extend(made_at.to_le_bytes());
        out.extend((1u32 << self.block_log).to_le_bytes());
        out.extend(self.fragments.to_le_bytes());
        out.extend(COMPRESSOR_GZIP.to_le_bytes());
        out.extend(self.block_log.to_le_bytes());
        out.extend(flags.to_le_bytes());
        out.extend(self.ids.to_le_bytes());
        out.extend(VERSION.0.to_le_bytes());
        out.extend(VERSION.1.to_le_bytes());
        for offset in [
            self.root,
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            out.extend(offset.to_le_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superblock_takes_exactly_its_96_bytes() {
        let block = Superblock {
            inodes: 1,
            fragments: 0,
            ids: 1,
            block_log: 17,
            root: 0,
            bytes_used: 96,
            id_table: 96,
            xattr_table: ABSENT,
            inode_table: 96,
            directory_table: 96,
            fragment_table: 96,
            export_table: 96,
        };
        let bytes = block.encode();
        assert_eq!(bytes.len() as u64, SIZE);
        assert_eq!(&bytes[..4], b"hsqs");
    }
}
