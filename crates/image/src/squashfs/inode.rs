//! Inodes. Each kind has a short form and a long one; the long one is taken where the short one has
//! no field for what has to be said.

use super::metadata::Position;
use super::{Content, Error, Listing, XattrSet};

/// `PATH_MAX` of Linux without its NUL.
const SYMLINK_MAX: usize = 4095;

/// What every inode has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, with set-user-id, set-group-id and sticky; others are cut off.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Of last modification; seconds since 1970, to which the format gives 32 bits.
    pub mtime: u32,
    /// Extended attributes.
    pub xattrs: XattrSet,
}

/// What an inode is.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// A folder.
    Folder {
        /// Its names.
        listing: &'a Listing,
        /// How many of them are folders.
        subfolders: u32,
        /// The inode number of the folder that it lies in.
        parent: u32,
    },
    /// A regular file.
    File(&'a Content),
    /// A symbolic link to this path.
    Symlink(&'a [u8]),
    /// A block device.
    BlockDevice {
        /// Names the driver.
        major: u32,
        /// Names the device to its driver.
        minor: u32,
    },
    /// A character device.
    CharDevice {
        /// Names the driver.
        major: u32,
        /// Names the device to its driver.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// An inode that has been written.
#[derive(Debug, Clone, Copy)]
pub struct Inode {
    pub(super) number: u32,
    /// The type that listings record: that of the short form.
    pub(super) class: u16,
    pub(super) position: Position,
}

/// What goes before the fields of a kind.
pub(super) struct Head {
    pub(super) number: u32,
    pub(super) attributes: Attributes,
    /// Of the ids in the id table.
    pub(super) uid_index: u16,
    pub(super) gid_index: u16,
    /// Names of the inode; folders count their own.
    pub(super) links: u32,
}

/// Distance from a short type to its long form.
const LONG: u16 = 7;

impl Kind<'_> {
    pub(super) fn class(&self) -> u16 {
        match self {
            Self::Folder { .. } => 1,
            Self::File(_) => 2,
            Self::Symlink(_) => 3,
            Self::BlockDevice { .. } => 4,
            Self::CharDevice { .. } => 5,
            Self::Fifo => 6,
        }
    }
}

/// The bytes of an inode.
pub(super) fn encode(head: &Head, kind: &Kind) -> Result<Vec<u8>, Error> {
    let xattrs = head.attributes.xattrs;
    let mut long = xattrs != XattrSet::NONE;
    let mut fields = Vec::new();
    match *kind {
        Kind::Folder {
            listing,
            subfolders,
            parent,
        } => {
            // Readers count `.` and `..` as three bytes.
            let len = listing.len.checked_add(3).ok_or(Error::TooLarge)?;
            let links = subfolders + 2;
            match u16::try_from(len) {
                Ok(len) if !long && listing.index.is_empty() => {
                    fields.extend(listing.start.block.to_le_bytes());
                    fields.extend(links.to_le_bytes());
                    fields.extend(len.to_le_bytes());
                    fields.extend(listing.start.offset.to_le_bytes());
                    fields.extend(parent.to_le_bytes());
                }
                _ => {
                    long = true;
                    fields.extend(links.to_le_bytes());
                    fields.extend(len.to_le_bytes());
                    fields.extend(listing.start.block.to_le_bytes());
                    fields.extend(parent.to_le_bytes());
                    fields.extend((listing.index.len() as u16).to_le_bytes());
                    fields.extend(listing.start.offset.to_le_bytes());
                    fields.extend(xattrs.0.to_le_bytes());
                    for landmark in &listing.index {
                        fields.extend(landmark.offset.to_le_bytes());
                        fields.extend(landmark.block.to_le_bytes());
                        fields.extend((landmark.name.len() as u32 - 1).to_le_bytes());
                        fields.extend_from_slice(&landmark.name);
                    }
                }
            }
        }
        Kind::File(content) => {
            match (u32::try_from(content.start), u32::try_from(content.len)) {
                (Ok(start), Ok(len)) if !long && head.links == 1 && content.sparse == 0 => {
                    fields.extend(start.to_le_bytes());
                    fields.extend(content.fragment.to_le_bytes());
                    fields.extend(content.fragment_offset.to_le_bytes());
                    fields.extend(len.to_le_bytes());
                }
                _ => {
                    long = true;
                    fields.extend(content.start.to_le_bytes());
                    fields.extend(content.len.to_le_bytes());
                    fields.extend(content.sparse.to_le_bytes());
                    fields.extend(head.links.to_le_bytes());
                    fields.extend(content.fragment.to_le_bytes());
                    fields.extend(content.fragment_offset.to_le_bytes());
                    fields.extend(xattrs.0.to_le_bytes());
                }
            }
            for block in &content.blocks {
                fields.extend(block.to_le_bytes());
            }
        }
        Kind::Symlink(target) => {
            if target.is_empty() || target.len() > SYMLINK_MAX || target.contains(&0) {
                return Err(Error::BadSymlink(target.len()));
            }
            fields.extend(head.links.to_le_bytes());
            fields.extend((target.len() as u32).to_le_bytes());
            fields.extend_from_slice(target);
        }
        Kind::BlockDevice { major, minor } | Kind::CharDevice { major, minor } => {
            fields.extend(head.links.to_le_bytes());
            fields.extend(device(major, minor)?.to_le_bytes());
        }
        Kind::Fifo => fields.extend(head.links.to_le_bytes()),
    }
    // Files and folders have put theirs where it belongs.
    if long && !matches!(kind, Kind::File(_) | Kind::Folder { .. }) {
        fields.extend(xattrs.0.to_le_bytes());
    }

    let class = kind.class() + if long { LONG } else { 0 };
    let mut out = Vec::with_capacity(16 + fields.len());
    out.extend(class.to_le_bytes());
    out.extend((head.attributes.mode & 0o7777).to_le_bytes());
    out.extend(head.uid_index.to_le_bytes());
    out.extend(head.gid_index.to_le_bytes());
    out.extend(head.attributes.mtime.to_le_bytes());
    out.extend(head.number.to_le_bytes());
    out.extend_from_slice(&fields);
    Ok(out)
}

/// `new_encode_dev` in `include/linux/kdev_t.h`.
fn device(major: u32, minor: u32) -> Result<u32, Error> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(Error::BadDevice { major, minor });
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(links: u32, xattrs: XattrSet) -> Head {
        Head {
            number: 1,
            attributes: Attributes {
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: 0,
                xattrs,
            },
            uid_index: 0,
            gid_index: 0,
            links,
        }
    }

    fn class(head: &Head, kind: &Kind) -> u16 {
        let bytes = encode(head, kind).unwrap();
        u16::from_le_bytes([bytes[0], bytes[1]])
    }

    #[test]
    fn file_takes_the_long_form_only_where_it_must() {
        let small = Content {
            len: 5,
            ..Content::empty()
        };
        let kind = Kind::File(&small);
        assert_eq!(class(&head(1, XattrSet::NONE), &kind), 2);
        assert_eq!(class(&head(2, XattrSet::NONE), &kind), 9);
        assert_eq!(class(&head(1, XattrSet(0)), &kind), 9);
        let large = Content {
            len: 1 << 32,
            ..Content::empty()
        };
        assert_eq!(class(&head(1, XattrSet::NONE), &Kind::File(&large)), 9);
        let far = Content {
            start: 1 << 32,
            ..Content::empty()
        };
        assert_eq!(class(&head(1, XattrSet::NONE), &Kind::File(&far)), 9);
    }

    #[test]
    fn device_numbers_are_split_as_the_kernel_splits_them() {
        assert_eq!(device(1, 3).unwrap(), 0x103);
        assert_eq!(device(0xabc, 0x1_2345).unwrap(), 0x123a_bc45);
        assert!(device(1 << 12, 0).is_err());
        assert!(device(0, 1 << 20).is_err());
    }
}
