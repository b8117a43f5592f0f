//! A second reader, which shares no code with the kernel.

use std::path::Path;
use std::process::Command;

use super::Bench;
use super::archive::{Archive, device, entry, file, folder, hard_link, symlink};

fn unsquashfs(arguments: &[&str], file: &Path) -> String {
    let output = Command::new("unsquashfs")
        .args(arguments)
        .arg(file)
        .output()
        .expect("unsquashfs is missing: apt-get install squashfs-tools");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{text}{errors}"
    );
    text
}

#[test]
fn superblock_says_what_the_file_is() {
    let bench = Bench::of(&[Archive::of([file("a", "1").xattr("user.a", "1")])]);
    bench.flatten();
    let text = unsquashfs(&["-s"], &bench.out());
    for line in [
        "Found a valid SQUASHFS 4:0 superblock",
        "Compression gzip",
        "Block size 131072",
        "Inodes are uncompressed",
        "Data is uncompressed",
        "Fragments are uncompressed",
        "Xattrs are uncompressed",
        "Filesystem is exportable via NFS",
        "Number of fragments 1",
        "Number of inodes 2",
        "Number of ids 1",
        "Number of xattr ids 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn listing_shows_every_entry_with_its_metadata() {
    let bench = Bench::of(&[Archive::of([
        folder("bin").mode(0o2755).owner(1, 2),
        file("bin/su", "12345").mode(0o4755).owner(70_000, 70_001),
        hard_link("bin/su2", "bin/su"),
        symlink("sh", "bin/su"),
        device(b'3', "null", 1, 3),
        device(b'4', "disk", 8, 1),
        entry(b'6', "pipe"),
        file("attributes", "x").xattr("security.capability", "x"),
    ])]);
    bench.flatten();
    let text = unsquashfs(&["-llnumeric", "-UTC"], &bench.out());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(words).collect();
    for line in [
        "drwxr-xr-x 0/0 90 1970-01-01 00:00 squashfs-root",
        "drwxr-sr-x 1/2 36 2023-11-14 22:13 squashfs-root/bin",
        "-rwsr-xr-x 70000/70001 5 2023-11-14 22:13 squashfs-root/bin/su",
        "-rwsr-xr-x 70000/70001 5 2023-11-14 22:13 squashfs-root/bin/su2",
        "lrwxrwxrwx 0/0 6 2023-11-14 22:13 squashfs-root/sh -> bin/su",
        "crw-r--r-- 0/0 1, 3 2023-11-14 22:13 squashfs-root/null",
        "brw-r--r-- 0/0 8, 1 2023-11-14 22:13 squashfs-root/disk",
        "prw-r--r-- 0/0 0 2023-11-14 22:13 squashfs-root/pipe",
        "-rw-r--r-- 0/0 1 2023-11-14 22:13 squashfs-root/attributes",
    ] {
        assert!(
            lines.iter().any(|found| found == line),
            "{line} is not in {text}"
        );
    }
}

#[test]
fn everything_unpacks_as_it_was_packed() {
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let layer = (0..500).map(|n| file(format!("d{}/f{n}", n % 9), &content[..n * 1500]));
    let bench = Bench::of(&[Archive::of(layer)]);
    let root = bench.mount();
    let unpacked = bench.folder.path().join("unpacked");
    unsquashfs(
        &["-no-progress", "-d", unpacked.to_str().unwrap()],
        &bench.out(),
    );
    assert_eq!(super::mounted::tree(&unpacked), root.tree());
}
