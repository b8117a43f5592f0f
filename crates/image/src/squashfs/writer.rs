//! Puts the parts of the file together.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::content::{BLOCK_LOG, Contents};
use super::inode::{self, Head};
use super::listing;
use super::metadata::Metadata;
use super::superblock::{ABSENT, Superblock};
use super::xattr::Xattrs;
use super::{Attributes, Child, Content, Error, Inode, Kind, Listing, Xattr, XattrSet};

/// Device sizes are multiples of this on any host, and mksquashfs pads to it.
const PADDING: u64 = 4096;

/// Writes one squashfs file.
///
/// Everything is handed in before what names it: contents and attribute sets, then the inodes of a
/// folder's children, then the folder's listing, the root's inode last. Whoever calls numbers the
/// inodes, from 1 and without gaps, because a folder names its parent, which is written later.
pub struct Writer {
    contents: Contents,
    inodes: Metadata,
    listings: Metadata,
    xattrs: Xattrs,
    ids: Ids,
    /// By number − 1: where each inode lies.
    references: Vec<u64>,
}

impl Writer {
    /// Starts at the beginning of an empty file.
    pub fn new(file: File) -> Result<Self, Error> {
        Ok(Self {
            contents: Contents::new(file)?,
            inodes: Metadata::default(),
            listings: Metadata::default(),
            xattrs: Xattrs::default(),
            ids: Ids::default(),
            references: Vec::new(),
        })
    }

    /// Copies the content of a file of `len` bytes in. `holes` are the numbers of blocks (of
    /// [`BLOCK_SIZE`](super::BLOCK_SIZE)) that are all zeros, in ascending ranges; `data` gives the
    /// bytes of all other blocks, one after the other.
    pub fn content(
        &mut self,
        len: u64,
        holes: &[Range<u64>],
        data: &mut dyn Read,
    ) -> Result<Content, Error> {
        self.contents.add(len, holes, data)
    }

    /// Writes a set of extended attributes, unless an equal one has been written.
    pub fn xattrs(&mut self, xattrs: &[Xattr]) -> Result<XattrSet, Error> {
        self.xattrs.add(xattrs)
    }

    /// Writes the inode with this number. `links` counts its names; folders do not need it.
    pub fn inode(
        &mut self,
        number: u32,
        links: u32,
        attributes: Attributes,
        kind: Kind,
    ) -> Result<Inode, Error> {
        let head = Head {
            number,
            attributes,
            uid_index: self.ids.index(attributes.uid)?,
            gid_index: self.ids.index(attributes.gid)?,
            links,
        };
        let bytes = inode::encode(&head, &kind)?;
        let position = self.inodes.position()?;
        self.inodes.extend(&bytes);
        let slot = number as usize - 1;
        if self.references.len() <= slot {
            self.references.resize(slot + 1, 0);
        }
        self.references[slot] = position.reference();
        Ok(Inode {
            number,
            class: kind.class(),
            position,
        })
    }

    /// Writes the listing of a folder; names ascend by their bytes.
    pub fn listing(&mut self, children: &[Child]) -> Result<Listing, Error> {
        listing::write(&mut self.listings, children)
    }

    /// Writes the tables and the superblock. Returns the file, which is not yet synced, and its
    /// size in bytes.
    pub fn finish(self, root: Inode) -> Result<(File, u64), Error> {
        let exports = self.exports();
        let contents = self.contents.finish()?;
        let mut out = contents.out;
        let mut offset = contents.offset;
        // Writes a part; gives back the offset that the superblock names and where the part ends.
        let mut append = |(bytes, index): (Vec<u8>, u64)| {
            out.write_all(&bytes).map_err(Error::Write)?;
            offset += bytes.len() as u64;
            Ok::<_, Error>((index, offset))
        };

        let inode_table = contents.offset;
        let (_, directory_table) = append((self.inodes.encode(), inode_table))?;
        let (_, end) = append((self.listings.encode(), directory_table))?;
        let (fragment_table, end) = append(contents.fragment_table.encode_indexed(end))?;
        let (export_table, end) = append(exports.encode_indexed(end))?;
        let (id_table, end) = append(self.ids.table.encode_indexed(end))?;
        let (xattr_table, bytes_used) = match self.xattrs.encode(end) {
            Some(xattrs) => append(xattrs)?,
            None => (ABSENT, end),
        };

        let size = bytes_used.next_multiple_of(PADDING);
        out.write_all(&vec![0; (size - bytes_used) as usize])
            .map_err(Error::Write)?;
        let file = out
            .into_inner()
            .map_err(|error| Error::Write(error.into_error()))?;
        let superblock = Superblock {
            inodes: self.references.len() as u32,
            fragments: contents.fragments,
            ids: self.ids.count,
            block_log: BLOCK_LOG,
            root: root.position.reference(),
            bytes_used,
            id_table,
            xattr_table,
            inode_table,
            directory_table,
            fragment_table,
            export_table,
        };
        file.write_all_at(&superblock.encode(), 0)
            .map_err(Error::Write)?;
        Ok((file, size))
    }

    /// The export table: which inode has which number. It gives overlayfs, which lies on top in the
    /// guest, file handles, and with these a file keeps its inode number when it is copied up.
    fn exports(&self) -> Metadata {
        let mut table = Metadata::default();
        for reference in &self.references {
            table.extend(&reference.to_le_bytes());
        }
        table
    }
}

/// Owners and groups, which inodes name by their place in this table.
#[derive(Default)]
struct Ids {
    known: HashMap<u32, u16>,
    table: Metadata,
    count: u16,
}

impl Ids {
    fn index(&mut self, id: u32) -> Result<u16, Error> {
        if let Some(index) = self.known.get(&id) {
            return Ok(*index);
        }
        let index = self.count;
        self.count = index.checked_add(1).ok_or(Error::TooManyIds)?;
        self.known.insert(id, index);
        self.table.extend(&id.to_le_bytes());
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stored_once_and_end_at_65535() {
        let mut ids = Ids::default();
        assert_eq!(ids.index(1_000_000).unwrap(), 0);
        assert_eq!(ids.index(0).unwrap(), 1);
        assert_eq!(ids.index(1_000_000).unwrap(), 0);
        for id in 1..65_534 {
            ids.index(id).unwrap();
        }
        assert!(matches!(ids.index(70_000), Err(Error::TooManyIds)));
    }
}
