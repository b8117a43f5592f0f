//! A squashfs file as the kernel shows it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file; unmounted when dropped.
pub(super) struct Mounted {
    at: TempDir,
}

impl Mounted {
    pub(super) fn new(squashfs: &Path) -> Self {
        let at = TempDir::new().unwrap();
        let output = Command::new("mount")
            .args(["-t", "squashfs", "-o", "loop,ro"])
            .args([squashfs, at.path()])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "mount failed (this test needs root, loop devices and a kernel with squashfs): {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { at }
    }

    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.at.path().join(path)
    }

    pub(super) fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.path(path)).unwrap()
    }

    pub(super) fn metadata(&self, path: impl AsRef<Path>) -> Metadata {
        std::fs::symlink_metadata(self.path(path)).unwrap()
    }

    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        std::fs::symlink_metadata(self.path(path)).is_ok()
    }

    pub(super) fn names(&self, path: impl AsRef<Path>) -> Vec<OsString> {
        let entries = std::fs::read_dir(self.path(path)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    pub(super) fn xattrs(&self, path: impl AsRef<Path>) -> BTreeMap<Vec<u8>, Vec<u8>> {
        xattrs(&self.path(path))
    }

    pub(super) fn tree(&self) -> BTreeMap<PathBuf, Seen> {
        tree(self.at.path())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.at.path()).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// All there is to see of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    pub(super) links: u64,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Folder,
    File(Vec<u8>),
    Symlink(PathBuf),
    CharDevice(u64),
    BlockDevice(u64),
    Fifo,
}

/// Everything below a folder, and the folder itself under the empty path.
pub(super) fn tree(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let seen = see(&full);
        if seen.what == What::Folder {
            for entry in std::fs::read_dir(&full).unwrap() {
                waiting.push(path.join(entry.unwrap().file_name()));
            }
        }
        found.insert(path, seen);
    }
    found
}

fn see(path: &Path) -> Seen {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    Seen {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: metadata.mtime(),
        links: metadata.nlink(),
        xattrs: xattrs(path),
        what: what(path, &metadata),
    }
}

/// What is at a path.
pub(super) fn what(path: &Path, metadata: &Metadata) -> What {
    let class = metadata.file_type();
    if class.is_dir() {
        What::Folder
    } else if class.is_file() {
        What::File(std::fs::read(path).unwrap())
    } else if class.is_symlink() {
        What::Symlink(std::fs::read_link(path).unwrap())
    } else if class.is_char_device() {
        What::CharDevice(metadata.rdev())
    } else if class.is_block_device() {
        What::BlockDevice(metadata.rdev())
    } else {
        assert!(
            class.is_fifo(),
            "{} is of an unexpected type",
            path.display()
        );
        What::Fifo
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let len = match rustix::fs::llistxattr(path, &mut names) {
        // What squashfs says when no file in it has any.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        listed => listed.unwrap(),
    };
    names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let key = std::ffi::OsStr::from_bytes(name);
            let len = rustix::fs::lgetxattr(path, key, &mut value).unwrap();
            value.truncate(len);
            (name.to_vec(), value)
        })
        .collect()
}
