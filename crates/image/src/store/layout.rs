//! Where things are.
//!
//! ```text
//! images/
//! ├─ oci-layout, index.json, blobs/sha256/HEX   an OCI image layout; index.json holds the references
//! ├─ roots/HEX.squashfs                         flattened images
//! ├─ locks/                                     files to lock, never removed
//! ├─ reserve                                    space to remove images in when the disk is full
//! └─ tmp/                                       one folder per open store, for what is not complete
//! ```
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Error;
use crate::Digest;

/// The content of `oci-layout`.
pub(crate) const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

#[derive(Debug)]
pub(super) struct Layout {
    folder: PathBuf,
}

impl Layout {
    pub(super) fn create(folder: &Path) -> Result<Self, Error> {
        let layout = Self {
            folder: folder.to_owned(),
        };
        let blobs = layout.blobs();
        for folder in [&blobs, &layout.roots(), &layout.locks(), &layout.tmp()] {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        Ok(layout)
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(super) fn roots(&self) -> PathBuf {
        self.folder.join("roots")
    }

    pub(super) fn root(&self, key: &Digest) -> PathBuf {
        self.roots().join(format!("{}.squashfs", key.hex()))
    }

    pub(super) fn index(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    pub(super) fn reserve(&self) -> PathBuf {
        self.folder.join("reserve")
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.folder.join("oci-layout")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    fn locks(&self) -> PathBuf {
        self.folder.join("locks")
    }

    /// Waits for the lock that whoever changes references, or removes anything, holds.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        Lock::wait(&self.locks().join("store"))
    }

    /// Waits for the lock that whoever makes this root holds. Sixteen locks stand for all roots, so
    /// that no lock file has to be removed, which cannot be done without a race.
    pub(super) fn lock_root(&self, key: &Digest) -> Result<Lock, Error> {
        Lock::wait(&self.locks().join(format!("root-{}", &key.hex()[..1])))
    }
}

/// A lock between threads and processes. It ends with its holder, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    fn wait(path: &Path) -> Result<Self, Error> {
        let file = open_lock(path)?;
        file.lock().map_err(Error::io("lock", path))?;
        Ok(Self { _file: file })
    }

    /// `None` if it is taken.
    pub(super) fn try_take(path: &Path) -> Result<Option<Self>, Error> {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(Error::io("lock", path)(source)),
        }
    }
}

fn open_lock(path: &Path) -> Result<File, Error> {
    let options = File::options().create(true).append(true).to_owned();
    options.open(path).map_err(Error::io("open", path))
}

/// Makes the names in `folder` survive a crash of the machine.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(Error::io("sync", folder))
}

/// Gives `path` this content, whole or not at all, also for readers at the same time.
pub(super) fn replace(path: &Path, content: &[u8], tmp: &Path) -> Result<(), Error> {
    let failed = |source| Error::write(path, content.len() as u64, source);
    let mut file = super::staging::temporary(tmp).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    path.parent().map_or(Ok(()), sync_folder)
}
