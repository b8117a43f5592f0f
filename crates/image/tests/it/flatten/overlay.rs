//! Layers laid over each other by overlayfs show what their root should be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use tempfile::TempDir;

use super::Bench;
use super::archive::{Archive, Entry, file, folder, symlink};
use super::mounted::{What, what};

#[derive(Debug, Clone, PartialEq)]
enum Change {
    File(u8),
    Folder,
    OpaqueFolder,
    Symlink(PathBuf),
    Whiteout,
}

/// What a layer does to which paths.
type Changes = BTreeMap<PathBuf, Change>;

fn changes() -> impl Strategy<Value = Changes> {
    let path = vec("[abc]", 1..4).prop_map(|parts| parts.iter().collect::<PathBuf>());
    let change = prop_oneof![
        3 => (0..9u8).prop_map(Change::File),
        2 => Just(Change::Folder),
        1 => Just(Change::OpaqueFolder),
        1 => "[abc](/[abc])?".prop_map(|target| Change::Symlink(target.into())),
        3 => Just(Change::Whiteout),
    ];
    // What lies below anything but a folder of its own layer is refused: see the other tests.
    btree_map(path, change, 0..9).prop_map(|drawn| {
        let mut changes = Changes::new();
        for (path, change) in drawn {
            let below = path.ancestors().skip(1).all(|above| {
                matches!(
                    changes.get(above),
                    None | Some(Change::Folder | Change::OpaqueFolder)
                )
            });
            if below {
                changes.insert(path, change);
            }
        }
        changes
    })
}

fn entries(changes: &Changes) -> Vec<Entry> {
    let raw = |path: &Path| path.to_str().unwrap().to_owned();
    let mut entries = Vec::new();
    for (path, change) in changes {
        match change {
            Change::File(content) => entries.push(file(raw(path), [*content])),
            Change::Folder => entries.push(folder(raw(path))),
            Change::OpaqueFolder => {
                entries.push(folder(raw(path)));
                entries.push(file(raw(&path.join(".wh..wh..opq")), ""));
            }
            Change::Symlink(target) => entries.push(symlink(raw(path), raw(target))),
            Change::Whiteout => {
                let name = format!(".wh.{}", path.file_name().unwrap().to_str().unwrap());
                entries.push(file(raw(&path.with_file_name(name)), ""));
            }
        }
    }
    entries
}

/// Puts a layer into a folder the way overlayfs wants it.
fn unpack(changes: &Changes, into: &Path) {
    for (path, change) in changes {
        let path = into.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match change {
            Change::File(content) => fs::write(path, [*content]).unwrap(),
            Change::Folder => fs::create_dir_all(path).unwrap(),
            Change::OpaqueFolder => {
                fs::create_dir_all(&path).unwrap();
                setxattr(&path, "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
            }
            Change::Symlink(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            Change::Whiteout => {
                mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
            }
        }
    }
}

/// An overlay mount; unmounted when dropped.
struct Overlay {
    at: TempDir,
}

impl Overlay {
    fn of(layers: &[PathBuf]) -> Self {
        let at = TempDir::new().unwrap();
        let lower: Vec<&str> = layers
            .iter()
            .rev()
            .map(|path| path.to_str().unwrap())
            .collect();
        let output = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o"])
            .arg(format!("ro,lowerdir={}", lower.join(":")))
            .arg(at.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "mount failed (this test needs root and a kernel with overlayfs): {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { at }
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.at.path()).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// What there is to find. Overlayfs lists whiteouts with nothing below them as names that are not
/// there.
fn shown(root: &Path) -> BTreeMap<PathBuf, What> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let Ok(metadata) = fs::symlink_metadata(&full) else {
            continue;
        };
        if metadata.is_dir() {
            let names = fs::read_dir(&full).unwrap();
            waiting.extend(names.map(|name| path.join(name.unwrap().file_name())));
        }
        found.insert(path, what(&full, &metadata));
    }
    found
}

#[test]
fn roots_are_what_overlayfs_makes_of_the_same_layers() {
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&(vec(changes(), 2..5), any::<u64>()), |(layers, seed)| {
            let space = TempDir::new().unwrap();
            let mut folders = Vec::new();
            let mut bench = Bench::new();
            for (number, changes) in layers.iter().enumerate() {
                let unpacked = space.path().join(number.to_string());
                fs::create_dir(&unpacked).unwrap();
                unpack(changes, &unpacked);
                folders.push(unpacked);
                bench.add(&Archive::of(shuffled(entries(changes), seed)).bytes());
            }
            let overlay = Overlay::of(&folders);
            let root = bench.mount();
            prop_assert_eq!(shown(&root.path("")), shown(overlay.at.path()));
            Ok(())
        })
        .unwrap();
}

/// Archives list their entries in any order.
fn shuffled(entries: Vec<Entry>, seed: u64) -> Vec<Entry> {
    let mut keyed: Vec<(u64, Entry)> = entries
        .into_iter()
        .zip(1u64..)
        .map(|(entry, n)| {
            (
                seed.wrapping_mul(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
                    .rotate_left(23),
                entry,
            )
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, entry)| entry).collect()
}
