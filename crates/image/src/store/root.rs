//! Root file systems: made once for each set of layers, on first use.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::layout::sync_folder;
use super::{Error, Image, Staging, Store, is_disk_full};
use crate::digest::Hasher;
use crate::{Digest, Limits, flatten};

/// Goes into the names of roots, so that none made by another version of the flattener is taken for
/// one of this. To be raised with every change of what comes out of it.
const FORMAT: &str = "vhive root 2";

/// A read-only root file system. While one is held, by any process, [`Store::gc`] does not remove the
/// file.
#[derive(Debug, Clone)]
pub struct RootImage {
    /// A squashfs file.
    pub path: PathBuf,
    /// Names the content: it is made of the digests of the layers and the format, so the same on every
    /// machine.
    pub digest: Digest,
    /// Bytes in the file.
    pub size: u64,
    _hold: Arc<File>,
}

/// The files of roots that somebody in this process holds.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<Digest, Weak<File>>>);

impl Held {
    fn get(&self, key: &Digest) -> Option<Arc<File>> {
        self.files().get(key)?.upgrade()
    }

    fn put(&self, key: &Digest, file: &Arc<File>) {
        let mut files = self.files();
        files.retain(|_, file| file.strong_count() > 0);
        files.insert(key.clone(), Arc::downgrade(file));
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Digest, Weak<File>>> {
        // Nothing done under the lock stops half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The root file system of `image`, which is made if there is none yet: that takes seconds for
    /// large images. However many threads and processes ask at once, one makes it.
    pub fn root(&self, image: &Image, limits: &Limits) -> Result<RootImage, Error> {
        let key = key(&image.layers);
        if let Some(root) = self.open_root(&key)? {
            return Ok(root);
        }
        let _lock = self.layout().lock_root(&key)?;
        match self.open_root(&key)? {
            Some(root) => Ok(root),
            None => self.make_root(image, &key, limits),
        }
    }

    /// Bytes in the root file system of these layers, if it has been made.
    pub(super) fn root_size(&self, layers: &[Digest]) -> Option<u64> {
        let file = fs::metadata(self.layout().root(&key(layers)));
        Some(file.ok()?.len())
    }

    /// Opens the root and holds it. However many hold it, it is open once: each may be one of a thousand revisions.
    pub(super) fn open_root(&self, key: &Digest) -> Result<Option<RootImage>, Error> {
        let path = self.layout().root(key);
        let file = match self.inner.held.get(key) {
            Some(file) => file,
            None => match File::open(&path) {
                Ok(file) => Arc::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::io("open", &path)(error)),
            },
        };
        file.lock_shared().map_err(Error::io("lock", &path))?;
        // The collector may have been faster.
        let held = file.metadata().map_err(Error::io("read", &path))?;
        match fs::metadata(&path) {
            Ok(named) if named.ino() == held.ino() => {
                self.inner.held.put(key, &file);
                Ok(Some(RootImage {
                    path,
                    digest: key.clone(),
                    size: held.len(),
                    _hold: file,
                }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    fn make_root(&self, image: &Image, key: &Digest, limits: &Limits) -> Result<RootImage, Error> {
        let staging = self.stage()?;
        let mut layers = Vec::new();
        for digest in &image.layers {
            staging.require(digest, None)?;
            layers.push(flatten::Layer {
                path: staging.path(digest),
                name: digest.to_string(),
            });
        }
        self.flatten_to(image, key, &layers, &staging, limits)?
            .map_err(|source| self.root_failed(image, &layers, source))
    }

    /// Makes the root of these layers. The caller holds its lock, and tells what is behind it when they cannot be applied.
    pub(super) fn flatten_to(
        &self,
        image: &Image,
        key: &Digest,
        layers: &[flatten::Layer],
        staging: &Staging,
        limits: &Limits,
    ) -> Result<Result<RootImage, flatten::Error>, Error> {
        let made = staging.folder().join("root.squashfs");
        let begun = std::time::Instant::now();
        let flattened = match flatten::flatten(layers, &made, limits) {
            Ok(flattened) => flattened,
            Err(error) => return Ok(Err(error)),
        };

        let path = self.layout().root(key);
        let file = File::open(&made).map_err(Error::io("open", &made))?;
        file.lock_shared().map_err(Error::io("lock", &made))?;
        fs::rename(&made, &path).map_err(Error::io("create", &path))?;
        sync_folder(&self.layout().roots())?;
        tracing::info!(
            image = %image.reference,
            root = %path.display(),
            bytes = flattened.size,
            entries = flattened.entries,
            elapsed = ?begun.elapsed(),
            "made a root file system"
        );
        let file = Arc::new(file);
        self.inner.held.put(key, &file);
        Ok(Ok(RootImage {
            path,
            digest: key.clone(),
            size: flattened.size,
            _hold: file,
        }))
    }

    /// Finds out whether a full disk or a damaged layer is behind the error.
    fn root_failed(
        &self,
        image: &Image,
        layers: &[flatten::Layer],
        source: flatten::Error,
    ) -> Error {
        if find_disk_full(&source).is_some() {
            return failed(
                image,
                self.layout().root(&key(&image.layers)),
                layers,
                source,
            );
        }
        for (layer, digest) in layers.iter().zip(&image.layers) {
            if Self::is_damaged(layer, digest) {
                return match self.discard(digest) {
                    Ok(()) => Error::BlobDamaged {
                        digest: digest.clone(),
                    },
                    Err(error) => error,
                };
            }
        }
        failed(
            image,
            self.layout().root(&key(&image.layers)),
            layers,
            source,
        )
    }

    fn is_damaged(layer: &flatten::Layer, digest: &Digest) -> bool {
        let mut hasher = HashingSink(Hasher::default());
        let copied = File::open(&layer.path).and_then(|mut file| io::copy(&mut file, &mut hasher));
        copied.is_ok() && hasher.0.finish() != *digest
    }
}

/// Why the root at `path` could not be made: the disk is full, or something else.
pub(super) fn failed(
    image: &Image,
    path: PathBuf,
    layers: &[flatten::Layer],
    source: flatten::Error,
) -> Error {
    if let Some(full) = find_disk_full(&source) {
        let size = |layer: &flatten::Layer| fs::metadata(&layer.path).map_or(0, |it| it.len());
        return Error::DiskFull {
            path,
            needed: layers.iter().map(size).sum(),
            source: io::Error::from(full),
        };
    }
    Error::Root {
        reference: image.reference.clone(),
        source: Box::new(source),
    }
}

/// The error of the system behind `error`, if it is that the disk is full.
fn find_disk_full(error: &flatten::Error) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && is_disk_full(error)
        {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

/// What the root of these layers is called.
pub(super) fn key(layers: &[Digest]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(FORMAT.as_bytes());
    for layer in layers {
        hasher.update(b"\n");
        hasher.update(layer.as_str().as_bytes());
    }
    hasher.finish()
}

struct HashingSink(Hasher);

impl io::Write for HashingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
