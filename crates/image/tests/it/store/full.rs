//! A disk without space.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    /// The same as ext4, where a folder takes a block, with its device in `backing`.
    fn ext4(backing: &Path) -> Self {
        let device = backing.join("disk");
        std::fs::File::create(&device)
            .and_then(|file| file.set_len(8 << 20))
            .unwrap();
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-m", "0", "-b", "1024"])
            .arg(&device)
            .status()
            .expect("mkfs.ext4 is missing: apt-get install e2fsprogs");
        assert!(made.success());
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-o", "loop"])
            .args([&device, folder.path()])
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "needs root and a loop device (modprobe loop)"
        );
        Self { folder }
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.path().join("ballast")).unwrap();
        for block in [&[1; 4096][..], &[1]] {
            while ballast.write_all(block).is_ok() {}
        }
        // Blocks are given out when they are written back.
        ballast.sync_all().unwrap();
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
    disk.fill();

    store.remove(&removed.reference).unwrap();

    assert!(store.gc().unwrap() >= 1 << 20);
    assert_usable(&store, &kept);
    // There is room again, also for the next time.
    drop(store);
    Store::open(&folder).unwrap();
    assert_eq!(folder.join("reserve").metadata().unwrap().len(), 64 << 10);
}

#[test]
fn a_store_on_a_full_disk_can_be_opened_to_make_room() {
    let backing = TempDir::new().unwrap();
    let disk = SmallDisk::ext4(backing.path());
    let folder = disk.path().join("images");
    let store = Store::open(&folder).unwrap();
    let kept = image(&store, "dev.local/kept", b"x");
    let removed = image(&store, "dev.local/removed", &noise(1 << 20, 9));
    drop(store);
    disk.fill();
    let refused = std::fs::create_dir(disk.path().join("more")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);

    // As two commands do it.
    let store = Store::open(&folder).unwrap();
    store.remove(&removed.reference).unwrap();
    drop(store);
    let store = Store::open(&folder).unwrap();
    assert!(store.gc().unwrap() >= 1 << 20);

    assert_usable(&store, &kept);
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
