use std::io;
use std::path::{Path, PathBuf};

use crate::{Digest, Reference, flatten, manifest};

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// A verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No space, or no quota, is left.
    #[error(
        "the disk is full: {path} needs {needed} bytes; free space there, for instance by removing \
         images, or move the data directory"
    )]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// Its whole size; for a root file system, which is not known beforehand, at least this much.
        needed: u64,
        /// As the system says it.
        source: io::Error,
    },
    /// The list of references is no JSON of the right shape.
    #[error(
        "the list of images {path} is damaged; move it away and pull or import the images again"
    )]
    IndexDamaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// No image of this name.
    #[error("there is no image {reference}; pull, import or build it first")]
    UnknownReference {
        /// The name.
        reference: Reference,
    },
    /// No such content.
    #[error("{digest} is not in the image store; pull or import its image again")]
    BlobMissing {
        /// Of the content.
        digest: Digest,
    },
    /// Content on disk is not what its name says. It has been removed.
    #[error("{digest} was damaged on disk and has been removed; pull or import its image again")]
    BlobDamaged {
        /// The name it had.
        digest: Digest,
    },
    /// Content that was given is not what it was said to be.
    #[error("content that should be {expected} is {actual}; it is refused")]
    DigestMismatch {
        /// As declared.
        expected: Digest,
        /// As found.
        actual: Digest,
    },
    /// Content that was given has not the length it was said to have.
    #[error("{digest} should be {expected} bytes long, but {actual} came; it is refused")]
    SizeMismatch {
        /// Of the content.
        digest: Digest,
        /// As declared.
        expected: u64,
        /// As found; reading stops when there is too much.
        actual: u64,
    },
    /// A document of the image is refused.
    #[error("{digest} is refused")]
    Manifest {
        /// Of the document.
        digest: Digest,
        /// Why.
        source: manifest::Error,
    },
    /// A name with one digest for an image that has another.
    #[error("{reference} cannot be a name of {digest}, as it has another digest in it")]
    OtherDigest {
        /// The name.
        reference: Reference,
        /// Of the image.
        digest: Digest,
    },
    /// The root file system could not be made.
    #[error("cannot make the root file system of {reference}")]
    Root {
        /// The image.
        reference: Reference,
        /// Why.
        source: Box<flatten::Error>,
    },
}

impl Error {
    /// An error of the file system while doing `action` (a verb) with `path`.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// Whether there is no space, or no quota, left.
    pub(super) fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::Io { source, .. } => is_disk_full(source),
            _ => false,
        }
    }

    /// The same for a file whose size will be `needed`.
    pub(crate) fn write(path: &Path, needed: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_disk_full(&source) {
            Self::DiskFull {
                path,
                needed,
                source,
            }
        } else {
            Self::Io {
                action: "write",
                path,
                source,
            }
        }
    }
}

pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
