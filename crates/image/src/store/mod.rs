//! The images of this machine: content-addressed, and shared by any number of processes.
//!
//! * References change by replacing one file, so readers need no lock and never see half a change.
//! * Content is verified while it is written and gets its name when it is complete and on disk.
//! * Whoever changes references or removes anything holds one lock ([`layout`]); nothing slow is done
//!   under it. Content that is still on its way is out of the collector's reach ([`staging`]).
//! * A crash leaves at most files that nobody refers to. Those of an operation that was cut off go
//!   when the store is opened next ([`session`]), published content without a reference with
//!   [`Store::gc`].

mod elsewhere;
mod error;
mod gc;
mod layout;
mod pins;
mod references;
mod reserve;
mod root;
mod session;
mod staging;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::config::{self, ConfigFile, ImageConfig};
use crate::manifest::{self, CONFIG_MAX, Descriptor, Document, MANIFEST_MAX, Manifest};
use crate::{Digest, Reference};

pub use elsewhere::BlobFolder;
pub use error::Error;
pub(crate) use error::is_disk_full;
use layout::Layout;
pub(crate) use layout::MARKER;
pub use pins::Pin;
use references::{LastRead, References};
pub use root::RootImage;
use session::Session;
pub(crate) use staging::{Blob, BlobWriter, Staging, temporary};

/// The image store in one folder. Clones share it. All methods block on the disk.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    session: Session,
    held: root::Held,
    references: LastRead,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Of its manifest.
    pub digest: Digest,
    /// The name it was asked for by.
    pub reference: Reference,
    /// How it wants to be run.
    pub config: ImageConfig,
    /// The lowest first.
    pub layers: Vec<Digest>,
}

/// A row of the list of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its name.
    pub reference: Reference,
    /// Of its manifest.
    pub digest: Digest,
    /// Manifest, configuration and layers; 0 if it is damaged.
    pub size_bytes: u64,
    /// The root file system, if it has been made.
    pub root_bytes: Option<u64>,
    /// When it was made, as it says itself (RFC 3339).
    pub created: Option<String>,
    /// Why the image cannot be used.
    pub damage: Option<String>,
}

/// A manifest and its configuration.
struct Loaded {
    digest: Digest,
    manifest: Manifest,
    config: ConfigFile,
}

impl Store {
    /// Opens the store in `folder`, which is made if there is none, and removes what interrupted
    /// operations left.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let layout = Layout::create(folder)?;
        let session = {
            let _lock = layout.lock()?;
            session::sweep(&layout.tmp())?;
            let begin = || {
                if !layout.marker().exists() {
                    layout::replace(&layout.marker(), MARKER, &layout.tmp())?;
                }
                Session::begin(&layout.tmp())
            };
            reserve::keep(&layout.reserve());
            match begin() {
                // A folder takes space too, and without a session nothing can be removed. The reserve is kept again when the
                // store is opened next.
                Err(error) if error.is_disk_full() && reserve::release(&layout.reserve()) => {
                    begin()?
                }
                session => session?,
            }
        };
        // An unreadable list is found here, not in the middle of a pull.
        References::read(&layout.index())?;
        Ok(Self {
            inner: Arc::new(Inner {
                layout,
                session,
                held: root::Held::default(),
                references: LastRead::default(),
            }),
        })
    }

    /// The image that `reference` names here; `None` if there is none. A digest in the name is enough:
    /// the same content is found whatever it was called.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Image>, Error> {
        let find = || -> Result<Option<Descriptor>, Error> {
            Ok(self.references()?.find(reference).cloned())
        };
        let Some(found) = find()? else {
            return Ok(None);
        };
        match self.load(&found.digest) {
            Ok(loaded) => Ok(Some(loaded.into_image(reference))),
            // It may have been removed just now.
            Err(Error::BlobMissing { .. }) if find()?.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All images, by name. Damaged ones are in the list and say so.
    pub fn list(&self) -> Result<Vec<ImageInfo>, Error> {
        let references = self.references()?;
        let info = |(reference, entry): (&Reference, &Descriptor)| {
            let mut info = ImageInfo {
                reference: reference.clone(),
                digest: entry.digest.clone(),
                size_bytes: 0,
                root_bytes: None,
                created: None,
                damage: None,
            };
            match self.load(&entry.digest) {
                Ok(loaded) => {
                    let blobs = loaded.manifest.blobs();
                    info.size_bytes = entry.size + blobs.iter().map(|blob| blob.size).sum::<u64>();
                    info.root_bytes = self.root_size(&loaded.layers());
                    info.created = loaded.config.created;
                }
                Err(error) => info.damage = Some(error.to_string()),
            }
            info
        };
        Ok(references.iter().map(info).collect())
    }

    /// Takes the name away. Content goes with [`Store::gc`].
    pub fn remove(&self, reference: &Reference) -> Result<(), Error> {
        let _lock = self.layout().lock()?;
        let remove = || self.change_references(|references| references.remove(reference));
        let removed = match remove() {
            Err(Error::DiskFull { .. }) if reserve::release(&self.layout().reserve()) => remove()?,
            removed => removed?,
        };
        if removed {
            return Ok(());
        }
        Err(Error::UnknownReference {
            reference: reference.clone(),
        })
    }

    /// Gives an image of this store one more name, which another image may have had until now.
    pub fn tag(&self, digest: &Digest, reference: &Reference) -> Result<(), Error> {
        if reference.digest().is_some_and(|named| named != digest) {
            return Err(Error::OtherDigest {
                reference: reference.clone(),
                digest: digest.clone(),
            });
        }
        let staging = self.stage()?;
        staging.require(digest, None)?;
        let bytes = staging.read(digest, MANIFEST_MAX)?;
        let manifest = parse_manifest(digest, &bytes)?;
        let mut content = vec![digest.clone()];
        for blob in manifest.blobs() {
            staging.require(&blob.digest, Some(blob.size))?;
            content.push(blob.digest.clone());
        }
        let blob = Blob {
            digest: digest.clone(),
            size: bytes.len() as u64,
        };
        let descriptor = blob.descriptor(manifest.media_type());
        staging.commit(&content, &[(reference.clone(), descriptor)])
    }

    /// Begins to add an image.
    pub(crate) fn stage(&self) -> Result<Staging, Error> {
        Staging::begin(self)
    }

    /// The manifest of an image, as it was given, and its shape.
    pub(crate) fn manifest(&self, digest: &Digest) -> Result<(Vec<u8>, Manifest), Error> {
        let bytes = self.read(digest, MANIFEST_MAX)?;
        let manifest = parse_manifest(digest, &bytes)?;
        Ok((bytes, manifest))
    }

    fn load(&self, digest: &Digest) -> Result<Loaded, Error> {
        let (_, manifest) = self.manifest(digest)?;
        let bytes = self.read(&manifest.config.digest, CONFIG_MAX)?;
        let config = config::parse(&bytes, &manifest);
        Ok(Loaded {
            config: config.map_err(refused(&manifest.config.digest))?,
            digest: digest.clone(),
            manifest,
        })
    }

    /// Reads small content. What turns out to be damaged is removed, so that it can be had again.
    fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let read = read_bounded(&self.layout().blob(digest), digest, limit);
        if let Err(Error::BlobDamaged { digest }) = &read {
            self.discard(digest)?;
        }
        read
    }

    /// Removes content that is not what its name says.
    fn discard(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.layout().blob(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::io("remove", &path)),
        }
    }

    fn references(&self) -> Result<Arc<References>, Error> {
        self.inner.references.now(&self.layout().index())
    }

    /// Changes the references. The caller holds the lock.
    fn change_references<T>(&self, change: impl FnOnce(&mut References) -> T) -> Result<T, Error> {
        let index = self.layout().index();
        let mut references = References::read(&index)?;
        let result = change(&mut references);
        layout::replace(&index, &references.to_json(), self.session_folder())?;
        Ok(result)
    }

    fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    fn session_folder(&self) -> &Path {
        self.inner.session.folder()
    }
}

impl Loaded {
    fn layers(&self) -> Vec<Digest> {
        let layers = self.manifest.layers.iter();
        layers.map(|layer| layer.digest.clone()).collect()
    }

    fn into_image(self, reference: &Reference) -> Image {
        Image {
            layers: self.layers(),
            digest: self.digest,
            reference: reference.clone(),
            config: self.config.into_image_config(),
        }
    }
}

/// Reads a manifest where only one can be.
fn parse_manifest(digest: &Digest, bytes: &[u8]) -> Result<Manifest, Error> {
    match manifest::parse(bytes).map_err(refused(digest))? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(refused(digest)(manifest::Error::MediaType(
            manifest::OCI_INDEX.to_owned(),
        ))),
    }
}

/// An error about the document with this digest.
pub(crate) fn refused(digest: &Digest) -> impl FnOnce(manifest::Error) -> Error {
    let digest = digest.clone();
    move |source| Error::Manifest { digest, source }
}

fn read_bounded(path: &Path, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
    let bytes = match staging::read_at_most(path, limit + 1) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::BlobMissing {
                digest: digest.clone(),
            });
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    if bytes.len() as u64 > limit {
        let size = std::fs::metadata(path).map_or(limit + 1, |file| file.len());
        return Err(refused(digest)(manifest::Error::TooLarge { size, limit }));
    }
    if Digest::of(&bytes) != *digest {
        return Err(Error::BlobDamaged {
            digest: digest.clone(),
        });
    }
    Ok(bytes)
}
