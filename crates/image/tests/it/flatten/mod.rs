//! Layers in, a mounted root out. These tests loop-mount what they make, so they run as root, and
//! read it a second time with `unsquashfs`.

mod archive;
mod hostile;
mod large;
mod layers;
mod metadata;
mod mounted;
mod overlay;
mod random;
mod unsquashfs;

use std::path::PathBuf;

use archive::Archive;
use image::flatten::{Error, Flattened, Layer, Limits, flatten};
use mounted::Mounted;
use tempfile::TempDir;

/// A folder with layers in it, and the root that is made from them.
struct Bench {
    folder: TempDir,
    layers: Vec<Layer>,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            layers: Vec::new(),
        }
    }

    fn of(archives: &[Archive]) -> Self {
        let mut bench = Self::new();
        for archive in archives {
            bench.add(&archive.bytes());
        }
        bench
    }

    /// Adds a blob as the next layer.
    fn add(&mut self, blob: &[u8]) {
        let name = format!("layer-{}", self.layers.len() + 1);
        let path = self.folder.path().join(&name);
        std::fs::write(&path, blob).unwrap();
        self.layers.push(Layer { path, name });
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("roots/root.squashfs")
    }

    fn flatten_within(&self, limits: &Limits) -> Result<Flattened, Error> {
        std::fs::create_dir_all(self.folder.path().join("roots")).unwrap();
        flatten(&self.layers, &self.out(), limits)
    }

    fn flatten(&self) -> Flattened {
        self.flatten_within(&Limits::default()).unwrap()
    }

    fn mount(&self) -> Mounted {
        self.flatten();
        Mounted::new(&self.out())
    }

    /// Flattens, asserts that nothing is left behind, and gives the error.
    fn refused_within(&self, limits: &Limits) -> Error {
        let error = self.flatten_within(limits).unwrap_err();
        let left = std::fs::read_dir(self.folder.path().join("roots")).unwrap();
        assert_eq!(left.count(), 0, "files left behind after: {error}");
        error
    }

    fn refused(&self) -> Error {
        self.refused_within(&Limits::default())
    }
}
