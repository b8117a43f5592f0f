//! Trees of a thousand entries that nobody thought of.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::Bench;
use super::archive::{Archive, Entry, device, entry, file, folder, hard_link, symlink};
use super::mounted::{Seen, What};

const ENTRIES: usize = 1000;

/// One entry to be: where it goes is settled when the tree is put together.
#[derive(Debug, Clone)]
struct Draft {
    /// Which of the folders so far.
    folder: prop::sample::Index,
    name: Vec<u8>,
    kind: Kind,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u32,
    xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Kind {
    Folder,
    File {
        len: usize,
        seed: u8,
    },
    Symlink(Vec<u8>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    /// Which of the other entries so far.
    HardLink(prop::sample::Index),
}

fn kind() -> impl Strategy<Value = Kind> {
    let len = prop_oneof![
        6 => 0..5_000usize,
        2 => 100_000..140_000usize,
        1 => 250_000..400_000usize,
    ];
    prop_oneof![
        3 => Just(Kind::Folder),
        8 => (len, 0..6u8).prop_map(|(len, seed)| Kind::File { len, seed }),
        2 => vec(1..=255u8, 1..300).prop_map(Kind::Symlink),
        1 => (1..4096u32, 0..1u32 << 20).prop_map(|(major, minor)| Kind::CharDevice(major, minor)),
        1 => (0..4096u32, 0..1u32 << 20).prop_map(|(major, minor)| Kind::BlockDevice(major, minor)),
        1 => Just(Kind::Fifo),
        2 => any::<prop::sample::Index>().prop_map(Kind::HardLink),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let byte = (1..=255u8).prop_filter("a name has no slash", |byte| *byte != b'/');
    let name = prop_oneof![4 => vec(byte.clone(), 1..20), 1 => vec(byte, 200..=255)]
        .prop_filter("taken", |name| {
            name != b"." && name != b".." && !name.starts_with(b".wh.")
        });
    let id = prop_oneof![4 => 0..5u32, 1 => 0..u32::MAX];
    let xattr_name = "user\\.[a-z]{1,3}";
    let xattrs = prop_oneof![
        4 => Just(BTreeMap::new()),
        1 => btree_map(xattr_name, vec(any::<u8>(), 0..50), 1..4),
    ];
    let attributes = (0..0o10000u32, id.clone(), id, any::<u32>(), xattrs);
    (any::<prop::sample::Index>(), name, kind(), attributes).prop_map(
        |(folder, name, kind, (mode, uid, gid, mtime, xattrs))| Draft {
            folder,
            name,
            kind,
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        },
    )
}

/// Shown by its size: a thousand drafts are more than anybody reads.
#[derive(Clone)]
struct Drafts(Vec<Draft>);

impl std::fmt::Debug for Drafts {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} drafts", self.0.len())
    }
}

fn content(len: usize, seed: u8) -> Vec<u8> {
    // A seed of 0 gives zeros, which are holes where they fill a block.
    (0..len)
        .map(|n| (n * 7 % 253) as u8)
        .map(|byte| byte.wrapping_mul(seed))
        .collect()
}

/// The archive, and the tree that it should become.
fn build(drafts: Vec<Draft>) -> (Vec<Entry>, BTreeMap<PathBuf, Seen>) {
    let mut entries = Vec::new();
    let mut expected = BTreeMap::from([(PathBuf::new(), implied_root())]);
    let mut folders = vec![PathBuf::new()];
    let mut linkable: Vec<Vec<PathBuf>> = Vec::new();
    for draft in drafts {
        let folder_path = draft.folder.get(&folders).clone();
        let path = folder_path.join(OsStr::from_bytes(&draft.name));
        if expected.contains_key(&path) || path.components().count() > 60 {
            continue;
        }
        let raw = path.as_os_str().as_bytes();
        let (entry, what) = match &draft.kind {
            Kind::HardLink(index) => {
                if linkable.is_empty() {
                    continue;
                }
                let linked = index.index(linkable.len());
                let names = &mut linkable[linked];
                entries.push(hard_link(raw, names[0].as_os_str().as_bytes()));
                let mut seen = expected[&names[0]].clone();
                names.push(path.clone());
                seen.links = names.len() as u64;
                for name in names.iter() {
                    expected.insert(name.clone(), seen.clone());
                }
                continue;
            }
            Kind::Folder => (folder(raw), What::Folder),
            Kind::File { len, seed } => {
                let content = content(*len, *seed);
                (file(raw, &content), What::File(content))
            }
            Kind::Symlink(target) => {
                let shown = PathBuf::from(OsStr::from_bytes(target));
                (symlink(raw, target), What::Symlink(shown))
            }
            Kind::CharDevice(major, minor) => {
                let number = rustix::fs::makedev(*major, *minor);
                (device(b'3', raw, *major, *minor), What::CharDevice(number))
            }
            Kind::BlockDevice(major, minor) => {
                let number = rustix::fs::makedev(*major, *minor);
                (device(b'4', raw, *major, *minor), What::BlockDevice(number))
            }
            Kind::Fifo => (entry(b'6', raw), What::Fifo),
        };
        let is_folder = what == What::Folder;
        let is_symlink = matches!(what, What::Symlink(_));
        // The kernel lets user attributes be read of files and folders alone.
        let readable = is_folder || matches!(what, What::File(_));
        let mut entry = entry
            .mode(draft.mode)
            .owner(draft.uid.into(), draft.gid.into())
            .mtime(draft.mtime.into());
        let mut xattrs = BTreeMap::new();
        for (name, value) in draft.xattrs {
            let name = if readable {
                name
            } else {
                name.replace("user", "trusted")
            };
            entry = entry.xattr(&name, &value);
            xattrs.insert(name.into_bytes(), value);
        }
        entries.push(entry);
        let seen = Seen {
            what,
            mode: if is_symlink { 0o777 } else { draft.mode },
            uid: draft.uid,
            gid: draft.gid,
            mtime: draft.mtime.into(),
            links: if is_folder { 2 } else { 1 },
            xattrs,
        };
        expected.insert(path.clone(), seen);
        if is_folder {
            expected.get_mut(&folder_path).unwrap().links += 1;
            folders.push(path);
        } else {
            linkable.push(vec![path]);
        }
    }
    (entries, expected)
}

fn implied_root() -> Seen {
    Seen {
        what: What::Folder,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        links: 2,
        xattrs: BTreeMap::new(),
    }
}

#[test]
fn any_tree_of_a_thousand_entries_comes_back_as_it_went_in() {
    let config = ProptestConfig {
        cases: 4,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(
            &(vec(draft(), ENTRIES).prop_map(Drafts), 1..5usize),
            |(drafts, layers)| {
                let (entries, expected) = build(drafts.0);
                let share = entries.len().div_ceil(layers);
                let archives: Vec<Archive> = entries
                    .chunks(share)
                    .map(|chunk| Archive::of(chunk.iter().cloned()))
                    .collect();
                let bench = Bench::of(&archives);
                let made = bench.flatten();
                prop_assert_eq!(made.entries as usize, expected.len() - 1);
                let seen = bench.mount().tree();
                prop_assert_eq!(names(&seen), names(&expected));
                for (path, expected) in &expected {
                    let seen = &seen[path];
                    prop_assert!(
                        seen == expected,
                        "{path:?}: {:.200} is not {:.200}",
                        format!("{seen:?}"),
                        format!("{expected:?}")
                    );
                }
                // However it is cut into layers, one tree is one file.
                let whole = Bench::of(&[Archive::of(entries)]);
                prop_assert_eq!(whole.flatten(), made);
                Ok(())
            },
        )
        .unwrap();
}

fn names(tree: &BTreeMap<PathBuf, Seen>) -> Vec<&Path> {
    tree.keys().map(PathBuf::as_path).collect()
}
