//! Why a layer is not taken.

use std::io;

/// A rule that an entry breaks. None of these is repaired: an archive that breaks one was made by a
/// broken tool or a hostile one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `..` in a path.
    #[error("the path climbs with `..`")]
    Climbs,
    /// A NUL byte in a name or target.
    #[error("a name holds a NUL byte")]
    Nul,
    /// A component that no Linux file system takes.
    #[error("a name is longer than 255 bytes")]
    NameTooLong,
    /// More components than allowed.
    #[error("the path is deeper than {limit} folders")]
    TooDeep {
        /// [`Limits::max_depth`](super::Limits::max_depth).
        limit: usize,
    },
    /// The path leads through something of the same layer that is no folder.
    #[error("{at:?} in its path is no folder in the same layer; links are not followed")]
    BelowNonFolder {
        /// The component.
        at: String,
    },
    /// Something other than a folder at `/`.
    #[error("the root of the file system can only be a folder")]
    RootNotFolder,
    /// `.wh.` in front of nothing, `.` or `..`, or in the name of a folder on the way.
    #[error("it is no valid whiteout")]
    BadWhiteout,
    /// A hard link whose target does not exist (any more).
    #[error("it is a hard link to {target:?}, which does not exist")]
    MissingLinkTarget {
        /// As the entry has it.
        target: String,
    },
    /// A hard link to a folder.
    #[error("it is a hard link to {target:?}, which is a folder")]
    LinkToFolder {
        /// As the entry has it.
        target: String,
    },
    /// A hard link to its own path.
    #[error("it is a hard link to itself")]
    LinkToItself,
    /// A symlink that no Linux file system holds.
    #[error("its target is empty or longer than 4095 bytes")]
    BadSymlink,
    /// A device that squashfs cannot hold.
    #[error("device number {major}:{minor} is out of range")]
    BadDevice {
        /// Names the driver.
        major: i64,
        /// Names the device to its driver.
        minor: i64,
    },
    /// An owner outside the 32 bits that Linux has (the last number means "none").
    #[error("user or group id {0} is out of range")]
    BadOwner(i64),
    /// An attribute larger than Linux takes, or without a name.
    #[error("extended attribute {name:?} is too long or has no name")]
    BadXattr {
        /// Of the attribute.
        name: String,
    },
    /// An entry of a type that container images do not have.
    #[error("its type is {0:?}, which layers do not have")]
    UnknownType(char),
    /// Bytes that are not a tar archive.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    /// [`Limits::max_entries`](super::Limits::max_entries).
    #[error("the image has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u32,
    },
    /// [`Limits::max_unpacked_bytes`](super::Limits::max_unpacked_bytes).
    #[error("the image unpacks to more than {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// [`Limits::max_metadata_bytes`](super::Limits::max_metadata_bytes).
    #[error("names and attributes in the image take more than {limit} bytes")]
    TooMuchMetadata {
        /// The limit.
        limit: u64,
    },
}

/// What can go wrong while a layer is read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The layer says something it must not.
    Refused(Refusal),
    /// It cannot be read or decompressed.
    Unreadable(io::Error),
    /// What it holds cannot be kept.
    Spool(io::Error),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Errors of the layer's reader; refusals travel through it as the inner error.
impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Refusal>())
        {
            Some(refusal) => Self::Refused(refusal.clone()),
            None => Self::Unreadable(error),
        }
    }
}

/// A name for people: text, and no longer than anybody reads, as layers may have names of a megabyte.
pub(super) fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 1024;
    match name.get(..LONGEST) {
        Some(start) if name.len() > LONGEST => format!("{}…", String::from_utf8_lossy(start)),
        _ => String::from_utf8_lossy(name).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_whole_or_cut_short() {
        assert_eq!(shown(b"a/b"), "a/b");
        assert_eq!(shown(&[b'x'; 1024]).len(), 1024);
        let cut = shown(&vec![b'x'; 1 << 20]);
        assert_eq!(cut.chars().count(), 1025);
        assert!(cut.ends_with('…'));
    }
}
