//! Removal of what nothing refers to.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::references::References;
use super::session::{entries, sweep};
use super::{Error, Store, root};

impl Store {
    /// Removes content and root file systems that no reference and no pin needs, and what interrupted operations
    /// left. Says how many bytes that were. Roots that a process holds
    /// ([`RootImage`](super::RootImage)), and content of operations that are under way, stay.
    pub fn gc(&self) -> Result<u64, Error> {
        let layout = self.layout();
        let _lock = layout.lock()?;
        sweep(&layout.tmp())?;
        let needed = self.needed()?;
        let mut freed = 0;
        for path in entries(&layout.blobs())? {
            if !needed.contains(path.file_name().unwrap_or_default()) {
                freed += remove(&path)?;
            }
        }
        for path in entries(&layout.roots())? {
            if !needed.contains(path.file_name().unwrap_or_default()) {
                freed += remove_unheld(&path)?;
            }
        }
        Ok(freed)
    }

    /// The names of all files that must stay.
    fn needed(&self) -> Result<BTreeSet<OsString>, Error> {
        let name = |path: PathBuf| path.file_name().unwrap_or_default().to_owned();
        let mut needed = BTreeSet::new();
        let references = References::read(&self.layout().index())?;
        for digest in references.manifests() {
            needed.insert(name(self.layout().blob(digest)));
            let manifest = match self.manifest(digest) {
                Ok((_, manifest)) => manifest,
                // Nothing can be made of the rest of it, and a new pull brings all of it back.
                Err(error @ (Error::BlobMissing { .. } | Error::BlobDamaged { .. })) => {
                    tracing::warn!(%error, %digest, "an image is damaged");
                    continue;
                }
                Err(error) => return Err(error),
            };
            for blob in manifest.blobs() {
                needed.insert(name(self.layout().blob(&blob.digest)));
            }
            let layers = manifest.layers.into_iter();
            let layers: Vec<_> = layers.map(|layer| layer.digest).collect();
            needed.insert(name(self.layout().root(&root::key(&layers))));
        }
        Ok(needed)
    }
}

/// Removes a root, unless a [`RootImage`](super::RootImage) of it is held. One that is being opened
/// right now waits for the lock, then finds the file gone.
fn remove_unheld(path: &Path) -> Result<u64, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    match file.try_lock() {
        Ok(()) => remove(path),
        Err(fs::TryLockError::WouldBlock) => Ok(0),
        Err(fs::TryLockError::Error(source)) => Err(Error::io("lock", path)(source)),
    }
}

/// Damaged content is discarded without the lock, so it may be gone.
fn remove(path: &Path) -> Result<u64, Error> {
    let removed = fs::metadata(path).and_then(|file| {
        fs::remove_file(path)?;
        Ok(file.len())
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        removed => removed.map_err(Error::io("remove", path)),
    }
}
