//! A writer for squashfs 4.0, the read-only file system that guests mount as their root.
//!
//! ```text
//! superblock | data blocks and fragment blocks | inodes | directories | fragment table
//!            | export table | id table | extended attributes | padding to 4 KiB
//! ```
//!
//! The crate that writes squashfs, backhand, knows neither extended attributes (so a file would
//! lose its capabilities) nor hard links, indexes no large folder and counts every child of a
//! folder as a link to it; and a root needs all of these. What is here writes one flavour only:
//!
//! * Nothing is compressed. A guest may run under emulation, where inflating is dear, and the file
//!   is shared by every guest through the page cache of the host. The superblock still has to name
//!   a compressor, which the kernel looks up when it mounts: gzip, which every kernel has.
//! * Blocks are 128 KiB. One of zeros alone takes no space.
//! * Files shorter than a block share fragment blocks, in the order in which they were written: a
//!   read of one brings its neighbours.
//! * Same calls, same bytes: no clock, no host name, no address or hash order gets in.
//!
//! The format: <https://docs.kernel.org/filesystems/squashfs.html> and `fs/squashfs` in Linux, whose
//! checks when mounting also fix the order of the tables.

mod content;
mod inode;
mod listing;
mod metadata;
mod superblock;
mod writer;
mod xattr;

pub use content::{BLOCK_SIZE, Content};
pub use inode::{Attributes, Inode, Kind};
pub use listing::{Child, Listing};
pub use writer::Writer;
pub use xattr::{Xattr, XattrSet, is_storable};

/// Why a squashfs file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output failed.
    #[error("cannot write the squashfs file")]
    Write(#[source] std::io::Error),
    /// The content of a file could not be read.
    #[error("cannot read the content of a file")]
    Read(#[source] std::io::Error),
    /// The format numbers owners with 16 bits.
    #[error("more than 65535 distinct user and group ids, which squashfs cannot hold")]
    TooManyIds,
    /// A name is empty, longer than 255 bytes, holds `/` or NUL, or does not follow its neighbour.
    #[error("{0:?} cannot stand at this place of a folder")]
    BadName(String),
    /// The kernel takes 1 to 4095 bytes, none of them NUL.
    #[error("a symlink's target has {0} bytes or holds NUL")]
    BadSymlink(usize),
    /// The format has 12 bits for the major number of a device and 20 for the minor.
    #[error("device {major}:{minor} is out of range")]
    BadDevice {
        /// Names the driver.
        major: u32,
        /// Names the device to its driver.
        minor: u32,
    },
    /// The kernel takes names of 1 to 255 bytes in `user.`, `trusted.` and `security.`, and values
    /// of 64 KiB.
    #[error("extended attribute {0:?} cannot be stored")]
    BadXattr(String),
    /// A table outgrew its 32-bit offsets.
    #[error("too many entries for one squashfs file")]
    TooLarge,
}
