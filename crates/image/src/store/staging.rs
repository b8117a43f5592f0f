//! An image on its way into the store.
//!
//! Content is written to a folder of the session, digested as it comes, and gets its name in the store
//! as a hard link. The link in the staging folder stays until the image is committed: if content is
//! collected as garbage meanwhile, because no reference needs it yet, the commit links it again. So
//! adding images and collecting garbage never wait for each other.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use super::{Error, Store};
use crate::digest::Hasher;
use crate::manifest::Descriptor;
use crate::{Digest, Reference};

/// The folder of one operation. It goes with it; what was published or committed stays.
#[derive(Debug)]
pub(crate) struct Staging {
    store: Store,
    folder: TempDir,
}

/// Verified content in a staging folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Blob {
    pub(crate) fn descriptor(self, media_type: &str) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: self.digest,
            size: self.size,
            platform: None,
            annotations: None,
        }
    }
}

impl Staging {
    pub(super) fn begin(store: &Store) -> Result<Self, Error> {
        let tmp = store.session_folder();
        let folder = TempDir::new_in(tmp).map_err(Error::io("create a folder in", tmp))?;
        Ok(Self {
            store: store.clone(),
            folder,
        })
    }

    /// A file in the folder; only [`Store::root`] and exports put others than blobs there.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the content is, once it is complete.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join(digest.hex())
    }

    /// Takes content that the store has, so that it cannot go before the commit. `false` if the store
    /// does not have it, or not in this size.
    pub(crate) fn adopt(&self, digest: &Digest, size: Option<u64>) -> Result<bool, Error> {
        let (from, to) = (self.store.layout().blob(digest), self.path(digest));
        match fs::hard_link(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("link", &from)(error)),
        }
        let length = fs::metadata(&to).map_err(Error::io("read", &to))?.len();
        if size.is_some_and(|size| size != length) {
            self.store.discard(digest)?;
            fs::remove_file(&to).map_err(Error::io("remove", &to))?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes content that the store must have.
    pub(crate) fn require(&self, digest: &Digest, size: Option<u64>) -> Result<(), Error> {
        if self.adopt(digest, size)? {
            return Ok(());
        }
        Err(Error::BlobMissing {
            digest: digest.clone(),
        })
    }

    /// Starts new content of unknown digest. `needed` is its size as far as it is known, for errors.
    pub(crate) fn writer(&self, needed: u64) -> Result<BlobWriter<'_>, Error> {
        let folder = self.folder.path();
        let file = temporary(folder).map_err(|source| Error::write(folder, needed, source))?;
        Ok(BlobWriter {
            staging: self,
            file,
            hasher: Hasher::default(),
            written: 0,
            needed,
            expected: None,
        })
    }

    /// Starts new content that must turn out to be `digest`, `size` bytes of it.
    pub(crate) fn expect(&self, digest: &Digest, size: u64) -> Result<BlobWriter<'_>, Error> {
        Ok(BlobWriter {
            expected: Some((digest.clone(), size)),
            ..self.writer(size)?
        })
    }

    /// Adds small content.
    pub(crate) fn put(&self, content: &[u8]) -> Result<Blob, Error> {
        let mut writer = self.writer(content.len() as u64)?;
        writer.add(content)?;
        writer.finish()
    }

    /// Reads small content of this operation back.
    pub(crate) fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        super::read_bounded(&self.path(digest), digest, limit)
    }

    /// Puts complete content into the store, where no reference needs it yet.
    pub(crate) fn publish(&self, digest: &Digest) -> Result<(), Error> {
        let (from, to) = (self.path(digest), self.store.layout().blob(digest));
        match fs::hard_link(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {
                Err(Error::BlobMissing {
                    digest: digest.clone(),
                })
            }
            linked => linked.map_err(|source| Error::write(&to, 0, source)),
        }
    }

    /// Makes `content`, all of it in this folder, the image that each of `images` names. When this
    /// returns, a crash of the machine does not undo it.
    pub(crate) fn commit(
        &self,
        content: &[Digest],
        images: &[(Reference, Descriptor)],
    ) -> Result<(), Error> {
        let _lock = self.store.layout().lock()?;
        for digest in content {
            self.publish(digest)?;
        }
        super::layout::sync_folder(&self.store.layout().blobs())?;
        self.store.change_references(|references| {
            for (reference, descriptor) in images {
                references.set(reference, descriptor.clone());
            }
        })
    }
}

/// Content that is being written and digested.
pub(crate) struct BlobWriter<'s> {
    staging: &'s Staging,
    file: NamedTempFile,
    hasher: Hasher,
    written: u64,
    needed: u64,
    expected: Option<(Digest, u64)>,
}

impl BlobWriter<'_> {
    /// Adds bytes. More than expected are refused at once.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.written += bytes.len() as u64;
        if let Some((digest, size)) = &self.expected
            && self.written > *size
        {
            return Err(Error::SizeMismatch {
                digest: digest.clone(),
                expected: *size,
                actual: self.written,
            });
        }
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(|source| self.failed(source))
    }

    /// Adds all of `input`; errors of reading are returned inside.
    pub(crate) fn copy(&mut self, input: &mut dyn Read) -> Result<io::Result<()>, Error> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(count) => self.add(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// An error of writing, as the store tells it.
    pub(crate) fn failed(&self, source: io::Error) -> Error {
        Error::write(self.file.path(), self.needed.max(self.written), source)
    }

    /// Checks the content and gives it its place in the folder.
    pub(crate) fn finish(self) -> Result<Blob, Error> {
        let needed = self.needed.max(self.written);
        let actual = self.hasher.finish();
        if let Some((expected, size)) = self.expected {
            if self.written < size {
                return Err(Error::SizeMismatch {
                    digest: expected,
                    expected: size,
                    actual: self.written,
                });
            }
            if expected != actual {
                return Err(Error::DigestMismatch { expected, actual });
            }
        }
        let path = self.staging.path(&actual);
        let failed = |source| Error::write(&path, needed, source);
        self.file.as_file().sync_all().map_err(failed)?;
        let kept = self.file.persist(&path);
        kept.map_err(|error| failed(error.error))?;
        Ok(Blob {
            digest: actual,
            size: self.written,
        })
    }
}

/// For encoders; [`BlobWriter::add`] tells errors better.
impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.add(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file without its final name, readable by all once it has one.
pub(crate) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o644));
    builder.tempfile_in(folder)
}

/// Reads at most `limit` bytes.
pub(super) fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    Ok(content)
}
