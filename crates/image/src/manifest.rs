//! The JSON documents of images: what of them counts, and which are taken.
//!
//! Shapes: <https://github.com/opencontainers/image-spec>, and version 2, schema 2 of Docker's, which
//! differs in the media types alone. The structs are our own as the ones of `oci-spec` keep labels
//! and annotations in hash maps, which come out in another order each time: then the same build would
//! not have the same digest.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::Digest;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

const LAYERS: [&str; 6] = [
    LAYER_TAR,
    LAYER_GZIP,
    LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// Of a manifest or an index. Registries refuse larger ones, and so do we.
pub(crate) const MANIFEST_MAX: u64 = 4 << 20;
/// Of a configuration.
pub(crate) const CONFIG_MAX: u64 = 8 << 20;

/// The platform that guests are.
pub(crate) const OS: &str = "linux";
pub(crate) const ARCHITECTURE: &str = "amd64";

/// Where a full name stands in an index that Docker or containerd wrote.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Where the specification puts a name or a tag.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Says in a list of references who needs the image, whatever it is called.
pub(crate) const PINNED_FOR: &str = "dev.vhive.pinned-for";

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no JSON of the right shape.
    #[error("it is no image manifest or configuration")]
    Malformed(#[source] serde_json::Error),
    /// Docker's schema 1, which ended in 2017.
    #[error(
        "it is of schema version {0}, which is not read; push the image again with a newer tool"
    )]
    SchemaVersion(u32),
    /// It could be read as a manifest and as an index (CVE-2021-41190).
    #[error("it is a manifest and an index at once, which is never right")]
    Ambiguous,
    /// Neither a manifest nor an index.
    #[error("its media type is {0:?}, which is no image")]
    MediaType(String),
    /// A signature, a chart or another artifact.
    #[error("it is no container image: its configuration is of media type {0:?}")]
    Artifact(String),
    /// Not a tar, or one whose bytes are elsewhere.
    #[error("layer {digest} is of media type {media_type:?}, which is not taken")]
    Layer {
        /// Of the layer.
        digest: Digest,
        /// As the manifest has it.
        media_type: String,
    },
    /// No entry of an index fits.
    #[error(
        "it has no image for {OS}/{ARCHITECTURE}, only for {}; build one for {OS}/{ARCHITECTURE}",
        .found.join(", ")
    )]
    NoPlatform {
        /// The platforms it has.
        found: Vec<String>,
    },
    /// The one image there is does not fit.
    #[error("it is for {found}; build one for {OS}/{ARCHITECTURE}")]
    Platform {
        /// `os/architecture`.
        found: String,
    },
    /// One diff id per layer is required.
    #[error("its configuration speaks of {diff_ids} layers, its manifest of {layers}")]
    LayerCount {
        /// In the configuration.
        diff_ids: usize,
        /// In the manifest.
        layers: usize,
    },
    /// Larger than any real one.
    #[error("it is {size} bytes large; no more than {limit} are taken")]
    TooLarge {
        /// As declared.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// Reads a manifest or an index, told apart by what it says it is, or by its shape.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: u32,
        media_type: Option<String>,
        config: Option<IgnoredAny>,
        layers: Option<IgnoredAny>,
        manifests: Option<IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(Error::Malformed)?;
    if shape.schema_version != 2 {
        return Err(Error::SchemaVersion(shape.schema_version));
    }
    let like_index = shape.manifests.is_some();
    if like_index && (shape.config.is_some() || shape.layers.is_some()) {
        return Err(Error::Ambiguous);
    }
    let is_index = match shape.media_type.as_deref() {
        Some(OCI_INDEX | DOCKER_LIST) => true,
        Some(OCI_MANIFEST | DOCKER_MANIFEST) => false,
        Some(other) => return Err(Error::MediaType(other.to_owned())),
        None => like_index,
    };
    if is_index {
        let index = serde_json::from_slice(bytes).map_err(Error::Malformed)?;
        Ok(Document::Index(index))
    } else {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(Error::Malformed)?;
        manifest.check()?;
        Ok(Document::Manifest(manifest))
    }
}

impl Manifest {
    /// A manifest of an image that was made here.
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            config,
            layers,
        }
    }

    fn check(&self) -> Result<(), Error> {
        if ![OCI_CONFIG, DOCKER_CONFIG].contains(&self.config.media_type.as_str()) {
            return Err(Error::Artifact(self.config.media_type.clone()));
        }
        if self.config.size > CONFIG_MAX {
            return Err(Error::TooLarge {
                size: self.config.size,
                limit: CONFIG_MAX,
            });
        }
        let known = |layer: &&Descriptor| !LAYERS.contains(&layer.media_type.as_str());
        match self.layers.iter().find(known) {
            None => Ok(()),
            Some(layer) => Err(Error::Layer {
                digest: layer.digest.clone(),
                media_type: layer.media_type.clone(),
            }),
        }
    }

    /// As it says itself, or the one it is by its shape.
    pub(crate) fn media_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(OCI_MANIFEST)
    }

    /// The configuration and the layers, each once.
    pub(crate) fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen = std::collections::BTreeSet::new();
        std::iter::once(&self.config)
            .chain(&self.layers)
            .filter(|blob| seen.insert(&blob.digest))
            .collect()
    }
}

impl Index {
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(OCI_INDEX.to_owned()),
            manifests,
        }
    }

    /// The image for guests. The first that fits, as variants of amd64 are listed after the plain one.
    pub(crate) fn choose(&self) -> Result<&Descriptor, Error> {
        let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(Platform::fits);
        // An index of one entry without a platform is what some tools make of a plain image.
        let only = match self.manifests.as_slice() {
            [entry] if entry.platform.is_none() => Some(entry),
            _ => None,
        };
        self.manifests.iter().find(fits).or(only).ok_or_else(|| {
            let platforms = self.manifests.iter().filter_map(|it| it.platform.as_ref());
            let known = platforms.filter(|platform| platform.os != "unknown");
            Error::NoPlatform {
                found: known.map(Platform::to_string).collect(),
            }
        })
    }
}

impl Platform {
    pub(crate) fn fits(&self) -> bool {
        self.os == OS && self.architecture == ARCHITECTURE
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> serde_json::Value {
        serde_json::json!({"mediaType": media_type, "digest": Digest::of(b"x"), "size": 1})
    }

    fn manifest(config: &str, layer: &str) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "config": descriptor(config),
            "layers": [descriptor(layer)],
            "annotations": null,
        }))
        .unwrap()
    }

    fn for_platform(os: &str, architecture: &str) -> Descriptor {
        Descriptor {
            media_type: OCI_MANIFEST.to_owned(),
            digest: Digest::of(format!("{os}/{architecture}").as_bytes()),
            size: 1,
            platform: Some(Platform {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
            }),
            annotations: None,
        }
    }

    #[test]
    fn manifests_of_docker_and_oci_are_read() {
        for (config, layer) in [(OCI_CONFIG, LAYER_ZSTD), (DOCKER_CONFIG, LAYERS[4])] {
            let document = parse(&manifest(config, layer)).unwrap();
            assert!(matches!(document, Document::Manifest(it) if it.layers.len() == 1));
        }
    }

    #[test]
    fn artifacts_and_foreign_or_encrypted_layers_are_refused() {
        let chart = manifest("application/vnd.cncf.helm.config.v1+json", LAYER_GZIP);
        assert!(matches!(parse(&chart), Err(Error::Artifact(_))));
        for layer in [
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
        ] {
            let refused = parse(&manifest(OCI_CONFIG, layer));
            assert!(matches!(refused, Err(Error::Layer { .. })), "{layer}");
        }
    }

    #[test]
    fn a_document_that_is_both_manifest_and_index_is_refused() {
        let both = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "config": descriptor(OCI_CONFIG),
            "layers": [],
            "manifests": [],
        }))
        .unwrap();
        assert!(matches!(parse(&both), Err(Error::Ambiguous)));
        let old = br#"{"schemaVersion": 1, "name": "x"}"#;
        assert!(matches!(parse(old), Err(Error::SchemaVersion(1))));
    }

    #[test]
    fn the_entry_for_linux_on_amd64_is_chosen() {
        let index = Index::new(vec![
            for_platform("linux", "arm64"),
            for_platform("windows", "amd64"),
            for_platform("linux", "amd64"),
        ]);
        assert_eq!(index.choose().unwrap(), &for_platform("linux", "amd64"));
    }

    #[test]
    fn an_index_without_our_platform_says_which_it_has() {
        let index = Index::new(vec![
            for_platform("linux", "arm64"),
            for_platform("unknown", "unknown"),
        ]);
        let message = index.choose().unwrap_err().to_string();
        assert!(message.contains("only for linux/arm64;"), "{message}");
    }
}
