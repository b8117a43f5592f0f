//! Stores and images to test with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::{BuildSpec, Digest, Image, Limits, Reference, Source, Store};
use tempfile::TempDir;

/// A store in a folder of its own.
pub(crate) struct Sample {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
}

impl Sample {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("images")).unwrap();
        Self { folder, store }
    }

    /// The same store, as another process opens it.
    pub(crate) fn open_again(&self) -> Store {
        Store::open(&self.images()).unwrap()
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.images().join("blobs/sha256").join(digest.hex())
    }

    /// What operations that are under way have in `tmp/`, in all open stores.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let sessions = files(&self.images().join("tmp"));
        let inside = sessions.iter().flat_map(|session| files(session));
        inside.filter(|path| !path.ends_with("lock")).collect()
    }

    /// An image whose one file is `content`.
    pub(crate) fn image(&self, name: &str, content: &[u8]) -> Image {
        image(&self.store, name, content)
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn spec(reference: &str, source: Source) -> BuildSpec {
    BuildSpec {
        name: name(reference),
        source,
        entrypoint: vec!["/server".to_owned()],
        cmd: vec!["--quick".to_owned()],
        env: vec![("GREETING".to_owned(), "a=b".to_owned())],
        workdir: "/srv".to_owned(),
        user: "65534:65534".to_owned(),
        ports: vec![8080],
        labels: BTreeMap::from([("kind".to_owned(), "sample".to_owned())]),
    }
}

pub(crate) fn image(store: &Store, name: &str, content: &[u8]) -> Image {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("server"), content).unwrap();
    let source = Source::Folder(folder.path().to_owned());
    store.build(spec(name, source)).unwrap()
}

/// Bytes that do not compress, the same ones for the same seed.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut byte = || {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| byte()).collect()
}

/// Asserts that the store has everything of the image.
pub(crate) fn assert_usable(store: &Store, image: &Image) {
    let found = store.resolve(&image.reference).unwrap();
    assert_eq!(found.as_ref(), Some(image));
    let root = store.root(image, &Limits::default()).unwrap();
    assert!(root.size > 0);
    assert_eq!(std::fs::metadata(&root.path).unwrap().len(), root.size);
}
