//! Images whose content another program keeps, in a folder of blobs as an OCI layout has one: containerd's content store is such a
//! folder. It is read where it is, and nothing of it is copied but what the root file system is made of.

use std::path::{Path, PathBuf};

use super::{Error, Image, Loaded, RootImage, Store, parse_manifest, read_bounded, refused, root};
use crate::manifest::{self, CONFIG_MAX, Document, MANIFEST_MAX};
use crate::{Digest, Limits, Reference, config, flatten};

/// `sha256/HEX`, of another program, which may remove any of it at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobFolder(PathBuf);

impl BlobFolder {
    /// The folder that has `sha256` in it. It need not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Reads an image by the digest of its manifest, or of an index, of which the image for guests is taken. Blocking.
    pub fn image(&self, digest: &Digest, reference: &Reference) -> Result<Image, Error> {
        let bytes = read_bounded(&self.blob(digest), digest, MANIFEST_MAX)?;
        let (digest, manifest) = match manifest::parse(&bytes).map_err(refused(digest))? {
            Document::Manifest(manifest) => (digest.clone(), manifest),
            Document::Index(index) => {
                let chosen = index.choose().map_err(refused(digest))?.digest.clone();
                let bytes = read_bounded(&self.blob(&chosen), &chosen, MANIFEST_MAX)?;
                let manifest = parse_manifest(&chosen, &bytes)?;
                (chosen, manifest)
            }
        };
        let named = &manifest.config.digest;
        let bytes = read_bounded(&self.blob(named), named, CONFIG_MAX)?;
        let config = config::parse(&bytes, &manifest).map_err(refused(named))?;
        let loaded = Loaded {
            digest,
            manifest,
            config,
        };
        Ok(loaded.into_image(reference))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.0.join("sha256").join(digest.hex())
    }
}

impl Store {
    /// The root file system of an image whose content is in `blobs`, made as [`Store::root`] makes it of its own, and the same.
    /// The collector takes it for one that nobody needs once nobody holds it.
    pub fn root_of(
        &self,
        image: &Image,
        blobs: &BlobFolder,
        limits: &Limits,
    ) -> Result<RootImage, Error> {
        let key = root::key(&image.layers);
        if let Some(root) = self.open_root(&key)? {
            return Ok(root);
        }
        let _lock = self.layout().lock_root(&key)?;
        if let Some(root) = self.open_root(&key)? {
            return Ok(root);
        }
        let mut layers = Vec::new();
        for digest in &image.layers {
            let path = blobs.blob(digest);
            // Others unpack layers and then let go of them.
            if !path.exists() {
                return Err(Error::BlobMissing {
                    digest: digest.clone(),
                });
            }
            layers.push(flatten::Layer {
                path,
                name: digest.to_string(),
            });
        }
        let staging = self.stage()?;
        let failed = |source| root::failed(image, self.layout().root(&key), &layers, source);
        self.flatten_to(image, &key, &layers, &staging, limits)?
            .map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::build::{BuildSpec, Source};

    #[test]
    fn an_image_elsewhere_has_the_root_that_it_would_have_here() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        std::fs::write(folder.path().join("files/server"), "hello").unwrap();
        let theirs = Store::open(&folder.path().join("theirs")).unwrap();
        let built = theirs.build(BuildSpec {
            name: "dev.local/a:latest".parse().unwrap(),
            source: Source::Folder(folder.path().join("files")),
            entrypoint: vec!["/server".into()],
            cmd: Vec::new(),
            env: Vec::new(),
            workdir: String::new(),
            user: String::new(),
            ports: vec![8080],
            labels: BTreeMap::new(),
        });
        let built = built.unwrap();
        let limits = Limits::default();
        let expected = theirs.root(&built, &limits).unwrap();

        let ours = Store::open(&folder.path().join("ours")).unwrap();
        let blobs = BlobFolder::new(&folder.path().join("theirs/blobs"));
        let found = blobs.image(&built.digest, &built.reference).unwrap();
        assert_eq!(found, built);
        let root = ours.root_of(&found, &blobs, &limits).unwrap();
        assert_eq!(root.digest, expected.digest);
        assert_eq!(
            std::fs::read(&root.path).unwrap(),
            std::fs::read(&expected.path).unwrap()
        );
        drop(root);

        std::fs::remove_dir_all(folder.path().join("theirs/blobs")).unwrap();
        assert!(ours.root_of(&found, &blobs, &limits).is_ok(), "made once");
        assert!(ours.gc().unwrap() > 0);
        let gone = ours.root_of(&found, &blobs, &limits);
        assert!(matches!(gone, Err(Error::BlobMissing { .. })), "{gone:?}");
    }
}
