//! Unfinished files, and how they go when their maker is gone.
//!
//! Each open store has a folder of its own under `tmp/` and holds the lock in it. A folder whose lock
//! is free was left by a crash. Folders are made and swept under the lock of the store, so that none is
//! swept between its making and its locking.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Error;
use super::layout::Lock;

const LOCK: &str = "lock";

/// The folder of one open store. It goes with it.
#[derive(Debug)]
pub(super) struct Session {
    folder: TempDir,
    _lock: Option<Lock>,
}

impl Session {
    /// The caller holds the lock of the store.
    pub(super) fn begin(tmp: &Path) -> Result<Self, Error> {
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("session-").tempdir_in(tmp);
        let folder = folder.map_err(Error::io("create a folder in", tmp))?;
        let lock = Lock::try_take(&folder.path().join(LOCK))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes what dead sessions left. The caller holds the lock of the store. Sessions end without it,
/// so any of this may be gone before it is looked at.
pub(super) fn sweep(tmp: &Path) -> Result<(), Error> {
    for path in entries(tmp)? {
        let removed = if path.is_dir() {
            let lock = match Lock::try_take(&path.join(LOCK)) {
                Ok(lock) => lock,
                Err(_) if !path.exists() => continue,
                Err(error) => return Err(error),
            };
            if lock.is_none() {
                continue;
            }
            tracing::info!(folder = %path.display(), "removing what an interrupted run left");
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(Error::io("remove", &path))?,
        }
    }
    Ok(())
}

/// The paths in a folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        (entries.map(|entry| entry.map(|entry| entry.path()))).collect::<Result<_, _>>()
    });
    listed.map_err(Error::io("list", folder))
}
