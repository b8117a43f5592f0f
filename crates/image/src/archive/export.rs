//! One image as an OCI archive that `docker load` takes as well.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::Path;

use serde::Serialize;

use super::contents::blob_path;
use super::{BUFFER, Error};
use crate::manifest::{CONTAINERD_NAME, Index, Manifest, REF_NAME};
use crate::store::{Blob, Error as StoreError, MARKER};
use crate::{Digest, Reference, Store};

/// Of `manifest.json`, which Docker before version 25 goes by.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Legacy {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Store {
    /// Writes the image as an OCI archive (a plain tar) to `out`, which appears complete or not at
    /// all. The same image gives the same bytes. Blocking.
    pub fn export(&self, reference: &Reference, out: &Path) -> Result<(), Error> {
        let image = self.resolve(reference)?.ok_or_else(|| {
            let reference = reference.clone();
            StoreError::UnknownReference { reference }
        })?;
        let staging = self.stage()?;
        let (bytes, manifest) = self.manifest(&image.digest)?;
        let mut blobs = vec![(&image.digest, bytes.len() as u64)];
        blobs.extend(manifest.blobs().iter().map(|it| (&it.digest, it.size)));
        blobs.sort();
        for (digest, size) in &blobs {
            staging.require(digest, Some(*size))?;
        }

        let needed = blobs.iter().map(|(_, size)| size).sum();
        let failed = |source: io::Error| Error::from(StoreError::write(out, needed, source));
        let folder = match out.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut file = crate::store::temporary(folder).map_err(failed)?;
        let mut tar = tar::Builder::new(BufWriter::with_capacity(BUFFER, file.as_file_mut()));
        let small = [
            ("oci-layout", MARKER.to_vec()),
            (
                "index.json",
                index(&image.digest, &bytes, &manifest, reference),
            ),
            ("manifest.json", legacy(&manifest, reference)),
        ];
        for (name, content) in &small {
            add(&mut tar, name, content.len() as u64, content.as_slice()).map_err(failed)?;
        }
        for (digest, size) in blobs {
            let path = staging.path(digest);
            let blob = File::open(&path).map_err(StoreError::io("open", &path))?;
            add(&mut tar, &blob_path(digest), size, blob).map_err(failed)?;
        }
        let mut writer = tar.into_inner().map_err(failed)?;
        writer.flush().map_err(failed)?;
        drop(writer);
        file.as_file().sync_all().map_err(failed)?;
        let kept = file.persist(out);
        kept.map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn index(digest: &Digest, bytes: &[u8], manifest: &Manifest, reference: &Reference) -> Vec<u8> {
    let blob = Blob {
        digest: digest.clone(),
        size: bytes.len() as u64,
    };
    let mut entry = blob.descriptor(manifest.media_type());
    let mut annotations = vec![(CONTAINERD_NAME.to_owned(), reference.to_string())];
    if let Some(tag) = reference.tag() {
        annotations.push((REF_NAME.to_owned(), tag.to_owned()));
    }
    entry.annotations = Some(annotations.into_iter().collect());
    serde_json::to_vec(&Index::new(vec![entry])).unwrap_or_default()
}

fn legacy(manifest: &Manifest, reference: &Reference) -> Vec<u8> {
    let named_by_tag = reference.digest().is_none();
    let layers = manifest.layers.iter();
    let legacy = Legacy {
        config: blob_path(&manifest.config.digest),
        repo_tags: (named_by_tag.then(|| reference.to_string()).into_iter()).collect(),
        layers: layers.map(|layer| blob_path(&layer.digest)).collect(),
    };
    serde_json::to_vec(&[legacy]).unwrap_or_default()
}

fn add(
    tar: &mut tar::Builder<impl io::Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, name, content)
}
