//! What is kept of an entry beside its content.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::Bench;
use super::archive::{Archive, device, entry, file, folder, symlink};

/// `cap_net_bind_service,cap_setuid+ep` as `setcap` stores it, with a newline among its bytes.
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0x80, 4, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn modes_owners_and_times_are_kept() {
    let root = Bench::of(&[Archive::of([
        file("suid", "")
            .mode(0o4755)
            .owner(1000, 2000)
            .mtime(1_234_567_890),
        folder("sgid").mode(0o2775).owner(70_000, 4_000_000_000),
        folder("sticky").mode(0o1777),
        file("bits", "").mode(0o100_600),
        file("pax", "")
            .pax("uid", "3000000000")
            .pax("gid", "65536")
            .pax("mtime", "1500000000.987654321"),
        file("old", "").pax("mtime", "-5"),
        file("late", "").pax("mtime", "99999999999"),
        symlink("link", "suid").owner(7, 8).mtime(99),
    ])])
    .mount();
    let seen = |path| {
        let seen = root.metadata(path);
        (seen.mode() & 0o7777, seen.uid(), seen.gid(), seen.mtime())
    };
    assert_eq!(seen("suid"), (0o4755, 1000, 2000, 1_234_567_890));
    assert_eq!(seen("sgid"), (0o2775, 70_000, 4_000_000_000, 1_700_000_000));
    assert_eq!(seen("sticky").0, 0o1777);
    assert_eq!(seen("bits").0, 0o600);
    assert_eq!(seen("pax"), (0o644, 3_000_000_000, 65536, 1_500_000_000));
    assert_eq!(seen("old").3, 0);
    assert_eq!(seen("late").3, i64::from(u32::MAX));
    let link = seen("link");
    assert_eq!((link.1, link.2, link.3), (7, 8, 99));
}

#[test]
fn root_takes_the_metadata_of_its_entry() {
    let root = Bench::of(&[Archive::of([folder("./").mode(0o700).owner(1, 2).mtime(3)])]).mount();
    let seen = root.metadata("");
    assert_eq!(
        (seen.mode() & 0o7777, seen.uid(), seen.gid(), seen.mtime()),
        (0o700, 1, 2, 3)
    );
}

#[test]
fn implied_folders_are_roots_and_from_1970() {
    let root = Bench::of(&[Archive::of([file("a/b/c", "").owner(5, 5)])]).mount();
    let seen = root.metadata("a/b");
    assert_eq!(
        (seen.mode() & 0o7777, seen.uid(), seen.gid(), seen.mtime()),
        (0o755, 0, 0, 0)
    );
}

#[test]
fn devices_and_pipes_are_kept() {
    let root = Bench::of(&[Archive::of([
        device(b'3', "null", 1, 3),
        device(b'4', "disk", 259, 70_000),
        entry(b'6', "pipe"),
    ])])
    .mount();
    let null = root.metadata("null");
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    let disk = root.metadata("disk");
    assert!(disk.file_type().is_block_device());
    assert_eq!(disk.rdev(), rustix::fs::makedev(259, 70_000));
    assert!(root.metadata("pipe").file_type().is_fifo());
}

#[test]
fn attributes_are_kept_on_every_kind_of_entry() {
    let large = vec![b'v'; 60_000];
    let root = Bench::of(&[Archive::of([
        file("ping", "x").xattr("security.capability", CAPABILITY),
        folder("d")
            .xattr("user.empty", "")
            .xattr("user.lines", "a\nb=c\n"),
        file("big", "x")
            .xattr("trusted.large", &large)
            .xattr("user.z", "1")
            .xattr("user.a", "2"),
        symlink("s", "d").xattr("trusted.on-link", "1"),
        device(b'3', "null", 1, 3).xattr("trusted.on-device", "1"),
        entry(b'6', "pipe").xattr("trusted.on-pipe", "1"),
        file("plain", "x"),
    ])])
    .mount();
    assert_eq!(root.xattrs("ping")[&b"security.capability"[..]], CAPABILITY);
    assert_eq!(root.xattrs("d")[&b"user.empty"[..]], b"");
    assert_eq!(root.xattrs("d")[&b"user.lines"[..]], b"a\nb=c\n");
    assert_eq!(root.xattrs("big").len(), 3);
    assert_eq!(root.xattrs("big")[&b"trusted.large"[..]], large);
    assert_eq!(root.xattrs("s")[&b"trusted.on-link"[..]], b"1");
    assert_eq!(root.xattrs("null")[&b"trusted.on-device"[..]], b"1");
    assert_eq!(root.xattrs("pipe")[&b"trusted.on-pipe"[..]], b"1");
    assert!(root.xattrs("plain").is_empty());
}

#[test]
fn attributes_that_would_steer_the_guests_overlay_or_have_no_place_are_left_out() {
    let root = Bench::of(&[Archive::of([folder("d")
        .xattr("trusted.overlay.opaque", "y")
        .xattr("trusted.overlay.redirect", "/etc")
        .xattr("system.posix_acl_access", "acl")
        .xattr("user.kept", "1")])])
    .mount();
    assert_eq!(
        root.xattrs("d").into_keys().collect::<Vec<_>>(),
        [b"user.kept"]
    );
}

#[test]
fn long_names_and_targets_are_kept_in_either_dialect() {
    let name = "n".repeat(255);
    let path = format!("{}/{name}", "d".repeat(200));
    let target = "t".repeat(4095);
    let mut archive = Archive::of([file(&path, "pax"), symlink("link", &target)]);
    let gnu = format!("{}/{name}", "g".repeat(200));
    archive.add_with_gnu_long_name(file(&gnu, "gnu"));
    let root = Bench::of(&[archive]).mount();
    assert_eq!(root.read(path), b"pax");
    assert_eq!(root.read(gnu), b"gnu");
    assert_eq!(
        std::fs::read_link(root.path("link")).unwrap().as_os_str(),
        target.as_str()
    );
}

#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let names: Vec<Vec<u8>> = (1..=255u8)
        .filter(|byte| !matches!(byte, b'/' | b'.'))
        .map(|byte| vec![byte])
        .collect();
    let layer = names
        .iter()
        .map(|name| file([b"d/", &name[..]].concat(), name));
    let root = Bench::of(&[Archive::of(layer)]).mount();
    for name in &names {
        let path = root.path("d").join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(&std::fs::read(path).unwrap(), name);
    }
    assert_eq!(root.names("d").len(), names.len());
}

#[test]
fn comments_for_the_whole_archive_change_nothing() {
    let mut archive = Archive::default();
    archive.add_raw(b'g', b"pax_global_header", b"11 path=zz\n");
    archive.add(file("a", "1"));
    let root = Bench::of(&[archive]).mount();
    assert_eq!(root.names(""), ["a"]);
}
