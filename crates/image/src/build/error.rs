use std::io;
use std::path::PathBuf;

use crate::{Reference, archive, store};

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the source cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file where a folder is needed.
    #[error("{path} is no folder")]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// A socket, a pipe or a device.
    #[error("{path} is neither file, folder nor symlink; remove it, or build from a tar")]
    Special {
        /// The path.
        path: PathBuf,
    },
    /// A file that became longer or shorter while it was read.
    #[error("{path} changed while it was read; build again when nobody writes to it")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The binary is for another machine, or a script.
    #[error(
        "{path} is no program for Linux on x86-64 ({why}); to put it beside what it needs, build from a folder"
    )]
    NoProgram {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The binary needs libraries, which an image of it alone does not have.
    #[error(
        "{path} is linked dynamically, and an image of it alone has no libraries; link it statically \
         (Rust: target x86_64-unknown-linux-musl; Go: CGO_ENABLED=0; C: -static), or build from a \
         folder that has its libraries"
    )]
    Dynamic {
        /// The file.
        path: PathBuf,
    },
    /// The binary cannot be called by its name.
    #[error("{path} has no name that is text")]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The layer could not be compressed.
    #[error("cannot write the layer")]
    Compress {
        /// Why.
        source: io::Error,
    },
    /// The tar is not taken.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The image was removed as soon as it was there.
    #[error("{reference} was removed while it was built; build it again")]
    Gone {
        /// The name.
        reference: Reference,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Finds the error that travelled through a writer or a reader.
    pub(super) fn from_stream(error: io::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(inner) => return inner,
            Err(error) => error,
        };
        match error.downcast::<store::Error>() {
            Ok(inner) => Self::Store(inner),
            Err(source) => Self::Compress { source },
        }
    }
}
