//! How kernels get into the store's folder: by several processes at once, each of which may be killed.
//!
//! ```text
//! .import-XXXXXX/    where a kernel is made ready; held to be alive while `.importing` is locked
//! .importing         locked, shared, by everybody who makes one; whoever gets it alone may sweep
//! .publishing        locked by the one who moves a kernel to its place
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::Error;

const WORK: &str = ".import-";
const IMPORTING: &str = ".importing";
const PUBLISHING: &str = ".publishing";

/// A folder inside the store in which to make a kernel ready. Goes when it is dropped.
pub(super) struct Work {
    folder: TempDir,
    _importing: File,
}

impl Work {
    pub(super) fn new(store: &Path) -> Result<Self, Error> {
        let path = store.join(IMPORTING);
        let importing = open(&path).map_err(Error::io("open", &path))?;
        importing.lock_shared().map_err(Error::io("lock", &path))?;
        let folder = tempfile::Builder::new()
            .prefix(WORK)
            .tempdir_in(store)
            .map_err(Error::io("write in", store))?;
        Ok(Self {
            folder,
            _importing: importing,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes what killed processes left. Whoever may not write in the store leaves it as it is.
pub(super) fn sweep(store: &Path) -> Result<(), Error> {
    let Ok(importing) = open(&store.join(IMPORTING)) else {
        return Ok(());
    };
    match importing.try_lock() {
        Ok(()) => {}
        // Somebody is at work. There will be another time.
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(source)) => {
            return Err(Error::io("lock", &store.join(IMPORTING))(source));
        }
    }
    for entry in fs::read_dir(store).map_err(Error::io("read", store))? {
        let entry = entry.map_err(Error::io("read", store))?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(WORK.as_bytes())
        {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Moves the folder `ready` to its place. One that is there already goes where `ready` was; at no moment is there none.
pub(super) fn publish(store: &Path, ready: &Path, release: &str) -> Result<PathBuf, Error> {
    let path = store.join(PUBLISHING);
    let publishing = open(&path).map_err(Error::io("open", &path))?;
    publishing.lock().map_err(Error::io("lock", &path))?;
    let target = store.join(release);
    let moved = if target.exists() {
        match renameat_with(CWD, ready, CWD, &target, RenameFlags::EXCHANGE) {
            // A file system that cannot exchange.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::remove_dir_all(&target).and_then(|()| fs::rename(ready, &target))
            }
            result => result.map_err(io::Error::from),
        }
    } else {
        fs::rename(ready, &target)
    };
    moved.map_err(Error::io("move into", &target))?;
    // The folders, too: a machine that loses power now has the old kernel or the new.
    for folder in [&target, &store.to_owned()] {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("sync", folder))?;
    }
    Ok(target)
}

/// Takes a kernel out of the store.
pub(super) fn remove(store: &Path, release: &str) -> Result<(), Error> {
    let work = Work::new(store)?;
    let folder = store.join(release);
    // Out of sight first: half of a kernel is none.
    fs::rename(&folder, work.path().join("removed")).map_err(Error::io("remove", &folder))
}

/// Writes a file whole or not at all. Guests' hypervisors run unprivileged, so it is readable to all.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = || Error::io("write", path);
    let folder = path.parent().unwrap_or(Path::new("."));
    // A name of its own: another process may be writing the same file.
    let mut partial = tempfile::Builder::new()
        .prefix(".partial-")
        .tempfile_in(folder)
        .map_err(failed())?;
    partial.write_all(content).map_err(failed())?;
    partial.as_file().sync_all().map_err(failed())?;
    let readable = fs::Permissions::from_mode(0o644);
    partial
        .as_file()
        .set_permissions(readable)
        .map_err(failed())?;
    partial
        .persist(path)
        .map_err(|error| failed()(error.error))?;
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}
