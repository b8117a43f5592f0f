//! OCI archives: an image layout in a tar. `docker save` writes them too, since version 25.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use super::contents::{Contents, blob_path};
use super::{Error, Found, docker};
use crate::manifest::{
    CONFIG_MAX, CONTAINERD_NAME, Descriptor, Document, Index, MANIFEST_MAX, Manifest, Platform,
    REF_NAME,
};
use crate::store::Staging;
use crate::{Digest, Reference, config, manifest};

/// An index in an index in an index has never been seen.
const DEPTH_MAX: usize = 3;

/// The images for our platform.
pub(super) fn images(contents: &Contents, staging: &Staging) -> Result<Vec<Found>, Error> {
    let bytes = contents.read_file("index.json", MANIFEST_MAX, staging)?;
    let malformed = |error| contents.document("index.json")(manifest::Error::Malformed(error));
    let index: Index = serde_json::from_slice(&bytes).map_err(malformed)?;

    // The layout of one image for many platforms has one entry each, as an index has.
    let ours = |entry: &&Descriptor| {
        let platform = entry.platform.as_ref();
        platform.is_none_or(Platform::fits) || index.manifests.len() == 1
    };
    let candidates: Vec<_> = index.manifests.iter().filter(ours).collect();
    if candidates.is_empty() && !index.manifests.is_empty() {
        index.choose().map_err(contents.document("index.json"))?;
    }
    let legacy_names = docker::names_by_config(contents, staging)?;
    let mut found = Vec::new();
    for entry in candidates {
        let (manifest, shape) = manifest_of(entry, contents, staging)?;
        let content = complete(&manifest, &shape, contents, staging)?;
        let mut names: Vec<_> = name_of(entry).into_iter().collect();
        if names.is_empty()
            && let Some(legacy) = legacy_names.get(&shape.config.digest)
        {
            names.clone_from(legacy);
        }
        found.push(Found {
            manifest,
            content,
            names,
        });
    }
    Ok(found)
}

/// A full name in the annotations. A bare tag, as the specification has it, names no image.
fn name_of(entry: &Descriptor) -> Option<Reference> {
    let annotations = entry.annotations.as_ref()?;
    if let Some(name) = annotations.get(CONTAINERD_NAME) {
        return name.parse().ok();
    }
    let name = annotations.get(REF_NAME)?;
    let is_full = name.contains(['/', ':', '@']);
    if is_full { name.parse().ok() } else { None }
}

/// The manifest that an entry leads to, through indexes.
fn manifest_of(
    entry: &Descriptor,
    contents: &Contents,
    staging: &Staging,
) -> Result<(Descriptor, Manifest), Error> {
    let mut entry = entry.clone();
    for _ in 0..DEPTH_MAX {
        let path = blob_path(&entry.digest);
        check_size(contents, &entry)?;
        let bytes = contents.read_file(&path, MANIFEST_MAX, staging)?;
        let document = manifest::parse(&bytes).map_err(contents.document(&path))?;
        entry = match document {
            Document::Manifest(shape) => return Ok((entry, shape)),
            Document::Index(index) => {
                let chosen = index.choose().map_err(contents.document(&path))?;
                chosen.clone()
            }
        };
    }
    let too_deep = manifest::Error::MediaType(entry.media_type.clone());
    Err(contents.document(&blob_path(&entry.digest))(too_deep))
}

/// Checks that the archive has all the image needs, and lists it.
fn complete(
    manifest: &Descriptor,
    shape: &Manifest,
    contents: &Contents,
    staging: &Staging,
) -> Result<Vec<Digest>, Error> {
    let mut content = vec![manifest.digest.clone()];
    for blob in shape.blobs() {
        check_size(contents, blob)?;
        content.push(blob.digest.clone());
    }
    let path = blob_path(&shape.config.digest);
    let bytes = contents.read_file(&path, CONFIG_MAX, staging)?;
    config::parse(&bytes, shape).map_err(contents.document(&path))?;
    Ok(content)
}

/// The digest of a blob was checked when it was unpacked; its size is declared elsewhere.
fn check_size(contents: &Contents, descriptor: &Descriptor) -> Result<(), Error> {
    let blob = contents.blob(&descriptor.digest)?;
    if blob.digest != descriptor.digest {
        return Err(Error::Digest {
            archive: contents.archive.clone(),
            entry: blob_path(&descriptor.digest),
            expected: descriptor.digest.clone(),
            actual: blob.digest.clone(),
        });
    }
    if blob.size != descriptor.size {
        return Err(crate::store::Error::SizeMismatch {
            digest: blob.digest.clone(),
            expected: descriptor.size,
            actual: blob.size,
        }
        .into());
    }
    Ok(())
}
