//! A disk without space.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use image::{Error, Limits, Source, Store, build};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::samples::{assert_usable, image, noise, spec};

/// A file system of eight megabytes.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let flags = MountFlags::empty();
        mount("tmpfs", folder.path(), "tmpfs", flags, c"size=8m").expect("needs root");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = unmount(self.path(), UnmountFlags::DETACH);
        if !std::thread::panicking() {
            unmounted.unwrap();
        }
    }
}

fn folder_with(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("server"), content).unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn a_build_that_does_not_fit_says_how_much_is_needed_and_leaves_the_store_usable() {
    let disk = SmallDisk::new();
    let store = Store::open(&disk.path().join("images")).unwrap();
    let small = image(&store, "dev.local/small", b"x");
    let (_folder, path) = folder_with(&noise(12 << 20, 5));

    let error = store
        .build(spec("dev.local/large", Source::Folder(path)))
        .unwrap_err();

    let build::Error::Store(Error::DiskFull { path, needed, .. }) = &error else {
        panic!("{error:?}");
    };
    assert!(path.starts_with(disk.path()), "{path:?}");
    assert_eq!(*needed, 12 << 20);
    assert!(error.to_string().contains("removing images"), "{error}");
    assert_usable(&store, &small);
    assert_eq!(store.list().unwrap().len(), 1);
    image(&store, "dev.local/next", &noise(2 << 20, 6));
}

#[test]
fn an_image_can_be_removed_from_a_full_disk() {
    let disk = SmallDisk::new();
    let folder = disk.path().join("images");
    let store = Store::open(&folder).unwrap();
    let kept = image(&store, "dev.local/kept", b"x");
    let removed = image(&store, "dev.local/removed", &noise(1 << 20, 8));
    let mut ballast = std::fs::File::create(disk.path().join("ballast")).unwrap();
    while ballast.write_all(&[1; 4096]).is_ok() {}

    store.remove(&removed.reference).unwrap();

    assert!(store.gc().unwrap() >= 1 << 20);
    assert_usable(&store, &kept);
    // There is room again, also for the next time.
    drop(store);
    Store::open(&folder).unwrap();
    assert_eq!(folder.join("reserve").metadata().unwrap().len(), 64 << 10);
}

#[test]
fn a_root_that_does_not_fit_says_that_the_disk_is_full() {
    let disk = SmallDisk::new();
    let store = Store::open(&disk.path().join("images")).unwrap();
    let image = image(&store, "dev.local/fn", &noise(5 << 20, 7));
    let error = store.root(&image, &Limits::default()).unwrap_err();
    let Error::DiskFull { path, needed, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        path.starts_with(disk.path().join("images/roots")),
        "{path:?}"
    );
    assert!(*needed >= 5 << 20);
}
