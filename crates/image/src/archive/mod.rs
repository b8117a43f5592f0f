//! Images as files: OCI archives and what `docker save` writes.

mod contents;
mod docker;
mod error;
mod export;
mod oci;
pub(crate) mod walk;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::manifest::Descriptor;
use crate::store::Staging;
use crate::{Digest, Reference, Store, compression};
use contents::Contents;

pub use error::{Error, Refusal};

const BUFFER: usize = 256 * 1024;

/// An image of an archive, complete and verified in the staging folder.
struct Found {
    manifest: Descriptor,
    /// The manifest and all it needs.
    content: Vec<Digest>,
    /// What the archive calls it.
    names: Vec<Reference>,
}

impl Store {
    /// Takes the images of an archive: an OCI archive or the output of `docker save`, plain or
    /// compressed with gzip or zstd. All of it is told by content, not by names of files.
    ///
    /// With a `name`, the archive must hold one image, which gets this name. Without one, the images
    /// get the names that the archive has for them. Says which names were set. Blocking.
    pub fn import(
        &self,
        archive: &Path,
        name: Option<&Reference>,
    ) -> Result<Vec<Reference>, Error> {
        let staging = self.stage()?;
        let contents = unpack(archive, &staging)?;
        let found = if contents.has("index.json") && contents.has("oci-layout") {
            oci::images(&contents, &staging)?
        } else if contents.has("manifest.json") {
            docker::images(&contents, &staging)?
        } else {
            return Err(Error::NoImage {
                archive: archive.to_owned(),
            });
        };
        let named = match name {
            Some(name) => rename(archive, found, name)?,
            None => found,
        };

        let mut content = Vec::new();
        let mut images = Vec::new();
        for image in named {
            content.extend(image.content);
            let entry = |name: Reference| (name, image.manifest.clone());
            images.extend(image.names.into_iter().map(entry));
        }
        if images.is_empty() {
            return Err(Error::Unnamed {
                archive: archive.to_owned(),
            });
        }
        staging.commit(&content, &images)?;
        Ok(images.into_iter().map(|(name, _)| name).collect())
    }
}

/// Gives the one image the name.
fn rename(archive: &Path, mut found: Vec<Found>, name: &Reference) -> Result<Vec<Found>, Error> {
    found.dedup_by(|a, b| a.manifest.digest == b.manifest.digest);
    match found.as_mut_slice() {
        [image] => {
            if name
                .digest()
                .is_some_and(|named| *named != image.manifest.digest)
            {
                return Err(crate::store::Error::OtherDigest {
                    reference: name.clone(),
                    digest: image.manifest.digest.clone(),
                }
                .into());
            }
            image.names = vec![name.clone()];
            Ok(found)
        }
        [] => Err(Error::NoImage {
            archive: archive.to_owned(),
        }),
        several => Err(Error::Several {
            archive: archive.to_owned(),
            count: several.len(),
        }),
    }
}

/// Puts every file of the archive into the staging folder, under its digest.
fn unpack(archive: &Path, staging: &Staging) -> Result<Contents, Error> {
    let open = |source| Error::Open {
        archive: archive.to_owned(),
        source,
    };
    let file = BufReader::with_capacity(BUFFER, File::open(archive).map_err(open)?);
    let stream = compression::reader(file).map_err(open)?;
    Contents::read(archive, BufReader::with_capacity(BUFFER, stream), staging)
}
