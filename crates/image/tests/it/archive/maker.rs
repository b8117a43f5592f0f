//! Archives made by hand, so that the tests know every byte of them.

use std::path::PathBuf;

use image::Digest;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::samples::Sample;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) struct Maker {
    tar: Builder<Vec<u8>>,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self {
            tar: Builder::new(Vec::new()),
        }
    }

    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        self.entry(EntryType::Regular, path, "", content);
        self
    }

    pub(crate) fn json(self, path: &str, content: &Value) -> Self {
        self.file(path, content.to_string())
    }

    /// A file under its digest, as in an OCI layout.
    pub(crate) fn blob(self, content: &[u8]) -> Self {
        let digest = Digest::of(content);
        self.file(&format!("blobs/sha256/{}", digest.hex()), content)
    }

    pub(crate) fn folder(mut self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", b"");
        self
    }

    pub(crate) fn symlink(mut self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"");
        self
    }

    /// The header is made by hand, as the crate refuses the names that attacks use.
    fn entry(&mut self, kind: EntryType, path: &str, target: &str, content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.tar.append(&header, content).unwrap();
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.tar.into_inner().unwrap()
    }

    /// Writes the archive next to the store.
    pub(crate) fn save(self, sample: &Sample) -> PathBuf {
        save(sample, &self.bytes())
    }
}

pub(crate) fn save(sample: &Sample, bytes: &[u8]) -> PathBuf {
    let path = sample.folder.path().join("archive");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A layer of one file.
pub(crate) fn layer(path: &str) -> Vec<u8> {
    Maker::new().file(path, path).bytes()
}

/// A configuration for these layers.
pub(crate) fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/run"], "Env": ["A=1"], "Entrypoint": null},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string()
    .into_bytes()
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(content), "size": content.len()})
}

pub(crate) fn manifest(config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    let layer = |bytes: &&[u8]| descriptor("application/vnd.oci.image.layer.v1.tar", bytes);
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes()
}

/// An index of one manifest with these annotations.
pub(crate) fn index(manifest: &[u8], annotations: &Value) -> Value {
    let mut entry = descriptor(OCI_MANIFEST, manifest);
    entry["annotations"] = annotations.clone();
    json!({"schemaVersion": 2, "manifests": [entry]})
}

/// The parts of a small image.
pub(crate) struct Parts {
    pub(crate) layers: [Vec<u8>; 2],
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let layers = [layer("base"), layer("run")];
        let config = config(&[&layers[0], &layers[1]]);
        let manifest = manifest(&config, &[&layers[0], &layers[1]]);
        Self {
            layers,
            config,
            manifest,
        }
    }

    /// A whole OCI archive, but for the layout's marker and what is left out on purpose.
    pub(crate) fn blobs(&self) -> Maker {
        Maker::new()
            .folder("blobs/")
            .folder("blobs/sha256/")
            .blob(&self.manifest)
            .blob(&self.config)
            .blob(&self.layers[0])
            .blob(&self.layers[1])
            .json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
    }
}
