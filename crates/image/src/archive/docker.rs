//! What `docker save` wrote before version 25: layers as plain tars, and `manifest.json`, which says
//! what belongs together. There are no digests in it but the ones in the configuration.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use serde::Deserialize;

use super::contents::Contents;
use super::{Error, Found};
use crate::compression::Compression;
use crate::manifest::{
    CONFIG_MAX, LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, MANIFEST_MAX, Manifest, OCI_CONFIG, OCI_MANIFEST,
};
use crate::store::{Blob, Error as StoreError, Staging};
use crate::{Digest, Reference, config, manifest};

const LIST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The images, with manifests made for them.
pub(super) fn images(contents: &Contents, staging: &Staging) -> Result<Vec<Found>, Error> {
    let list = list(contents, staging)?;
    (list.iter().map(|entry| image(entry, contents, staging))).collect()
}

/// The names that `manifest.json` has for images, if there is one.
pub(super) fn names_by_config(
    contents: &Contents,
    staging: &Staging,
) -> Result<BTreeMap<Digest, Vec<Reference>>, Error> {
    let mut names = BTreeMap::new();
    if contents.has(LIST) {
        for entry in list(contents, staging)? {
            let config = contents.file(&entry.config)?;
            names.insert(config.digest.clone(), entry.names(contents)?);
        }
    }
    Ok(names)
}

fn list(contents: &Contents, staging: &Staging) -> Result<Vec<Entry>, Error> {
    let bytes = contents.read_file(LIST, MANIFEST_MAX, staging)?;
    let malformed = |error| contents.document(LIST)(manifest::Error::Malformed(error));
    serde_json::from_slice(&bytes).map_err(malformed)
}

impl Entry {
    fn names(&self, contents: &Contents) -> Result<Vec<Reference>, Error> {
        let tags = self.repo_tags.iter().flatten();
        let names: Result<_, _> = tags.map(|tag| tag.parse()).collect();
        names.map_err(|source| Error::Name {
            archive: contents.archive.clone(),
            source,
        })
    }
}

fn image(entry: &Entry, contents: &Contents, staging: &Staging) -> Result<Found, Error> {
    let config = contents.file(&entry.config)?;
    check(&entry.config, named_digest(&entry.config), config, contents)?;
    let bytes = contents.read_file(&entry.config, CONFIG_MAX, staging)?;

    let mut content = vec![config.digest.clone()];
    let mut layers = Vec::new();
    for path in &entry.layers {
        let layer = contents.file(path)?;
        content.push(layer.digest.clone());
        layers.push(layer.clone().descriptor(media_type(layer, staging)?));
    }
    let shape = Manifest::new(config.clone().descriptor(OCI_CONFIG), layers);
    let file = config::parse(&bytes, &shape).map_err(contents.document(&entry.config))?;
    // A layer that is no longer as it was when it was digested has another digest than its tar.
    for ((path, layer), diff_id) in entry
        .layers
        .iter()
        .zip(&shape.layers)
        .zip(&file.rootfs.diff_ids)
    {
        if layer.media_type == LAYER_TAR {
            check(path, diff_id.parse().ok(), contents.file(path)?, contents)?;
        }
    }

    let bytes = serde_json::to_vec(&shape).unwrap_or_default();
    let manifest = staging.put(&bytes)?.descriptor(OCI_MANIFEST);
    content.push(manifest.digest.clone());
    Ok(Found {
        manifest,
        content,
        names: entry.names(contents)?,
    })
}

fn check(
    path: &str,
    expected: Option<Digest>,
    blob: &Blob,
    contents: &Contents,
) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != blob.digest => Err(Error::Digest {
            archive: contents.archive.clone(),
            entry: path.to_owned(),
            expected,
            actual: blob.digest.clone(),
        }),
        _ => Ok(()),
    }
}

/// The configuration is called by its digest: `HEX.json`.
fn named_digest(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    Digest::from_hex(name.strip_suffix(".json").unwrap_or(name)).ok()
}

fn media_type(layer: &Blob, staging: &Staging) -> Result<&'static str, Error> {
    let path = staging.path(&layer.digest);
    let mut start = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(4).read_to_end(&mut start));
    read.map_err(StoreError::io("read", &path))?;
    Ok(match Compression::of(&start) {
        Compression::None => LAYER_TAR,
        Compression::Gzip => LAYER_GZIP,
        Compression::Zstd => LAYER_ZSTD,
    })
}
