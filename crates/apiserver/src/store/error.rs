//! Why the store could not be opened, and why it refused an operation.

use std::{io, path::PathBuf, sync::Arc};

use super::Key;

/// Why a store could not be opened. Every text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The content is not what this program wrote.
    #[error(
        "the store {path} is damaged ({reason}); put a backup in its place, or start empty: mv {path} {path}.bad",
        path = .path.display()
    )]
    Corrupt {
        /// The store file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the store {path} has format {found}, and this vhive reads up to {supported}; run the newer vhive, or start \
         empty: mv {path} {path}.newer",
        path = .path.display()
    )]
    Newer {
        /// The store file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format that this version reads.
        supported: u64,
    },
    /// Another process has it open.
    #[error(
        "the store {path} is in use by another process; stop that vhive first (fuser {path} names it), or use \
         another --data-dir",
        path = .path.display()
    )]
    Locked {
        /// The store file.
        path: PathBuf,
    },
    /// There is no room for it.
    #[error("no space left for the store {path}; make room (df {path} shows the disk) and start again", path = .path.display())]
    DiskFull {
        /// The store file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be read or written.
    #[error("cannot open the store {path}; check that its folder exists and that this user may write it", path = .path.display())]
    Io {
        /// The store file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why the store refused an operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("{0} not found")]
    NotFound(Key),
    /// There is one already.
    #[error("{0} already exists")]
    AlreadyExists(Key),
    /// The namespace of a new object is not there.
    #[error("{0}: there is no such namespace; make it first")]
    NoNamespace(Key),
    /// The namespace of a new object is being deleted.
    #[error("{0}: the namespace is being deleted; use another, or wait until it is gone")]
    NamespaceTerminating(Key),
    /// The object changed since the caller read it.
    #[error(
        "{key}: the object has been modified; please apply your changes to the latest version and try again"
    )]
    Modified {
        /// The object.
        key: Key,
    },
    /// The object is not the one that the caller named by uid or resourceVersion.
    #[error(
        "{key}: Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
    )]
    Precondition {
        /// The object.
        key: Key,
        /// "UID" or "`ResourceVersion`".
        what: &'static str,
        /// What the caller asked for.
        wanted: String,
        /// What the object has.
        found: String,
    },
    /// A field may not have this value.
    #[error("{key}: {field}: {message}")]
    Invalid {
        /// The object.
        key: Key,
        /// Path of the field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The watch log no longer reaches back that far.
    #[error("too old resource version: {wanted} ({oldest})")]
    Expired {
        /// What the caller asked for.
        wanted: u64,
        /// The oldest that can still be asked for.
        oldest: u64,
    },
    /// That version has not been reached.
    #[error("Too large resource version: {wanted}, current: {current}")]
    Future {
        /// What the caller asked for.
        wanted: u64,
        /// The newest there is.
        current: u64,
    },
    /// The write did not reach the disk.
    #[error("the store {path} could not write; make room or check the disk (df {path}; dmesg), then try again", path = .path.display())]
    Write {
        /// The store file.
        path: PathBuf,
        /// What the disk or the database said.
        source: Arc<redb::Error>,
    },
    /// There is no room on the disk.
    #[error("no space left for the store {path}; make room (df {path} shows the disk), then try again", path = .path.display())]
    DiskFull {
        /// The store file.
        path: PathBuf,
    },
    /// After a failed write the file cannot be opened again; it is tried with every write.
    #[error("the store stopped writing after a failure of the disk, and cannot be opened again")]
    Reopen {
        /// Why not.
        source: Arc<OpenError>,
    },
    /// The store is shut.
    #[error("the store is closed")]
    Closed,
}
