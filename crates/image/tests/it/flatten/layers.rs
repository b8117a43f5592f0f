//! How layers add up.

use std::os::unix::fs::MetadataExt;

use super::Bench;
use super::archive::{Archive, device, file, folder, gzip, hard_link, symlink, zstd};

fn three_layers() -> [Archive; 3] {
    [
        Archive::of([
            folder("a"),
            file("a/x", "x1"),
            file("a/y", "y1"),
            file("gone", "1"),
        ]),
        Archive::of([file(".wh.gone", ""), file("a/x", "x2")]),
        Archive::of([folder("b"), hard_link("b/y", "a/y"), file("a/y", "y3")]),
    ]
}

#[test]
fn later_layers_replace_remove_and_add() {
    let root = Bench::of(&three_layers()).mount();
    assert_eq!(root.read("a/x"), b"x2");
    assert_eq!(root.read("a/y"), b"y3");
    assert_eq!(root.read("b/y"), b"y1");
    assert_eq!(root.names(""), ["a", "b"]);
}

#[test]
fn gzip_zstd_and_plain_layers_give_the_same_bytes() {
    let layers = three_layers().map(|layer| layer.bytes());
    let plain = Bench::of(&three_layers());
    let mut packed = Bench::new();
    // Two members in a row are one stream.
    let (front, back) = layers[0].split_at(700);
    packed.add(&[gzip(front), gzip(back)].concat());
    packed.add(&zstd(&layers[1]));
    // A frame to pass over, then two that count.
    let (front, back) = layers[2].split_at(1000);
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
    packed.add(&[skipped, zstd(front), zstd(back)].concat());
    assert_eq!(plain.flatten(), packed.flatten());
    let bytes = std::fs::read(plain.out()).unwrap();
    assert_eq!(bytes, std::fs::read(packed.out()).unwrap());
}

#[test]
fn result_names_its_digest_its_size_and_its_entries() {
    use sha2::{Digest, Sha256};
    let bench = Bench::of(&three_layers());
    let made = bench.flatten();
    let bytes = std::fs::read(bench.out()).unwrap();
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(made.digest, format!("sha256:{digest}"));
    assert_eq!(made.size, bytes.len() as u64);
    assert_eq!(made.size % 4096, 0);
    assert_eq!(made.entries, 5);
}

#[test]
fn existing_root_is_replaced_as_a_whole() {
    let bench = Bench::of(&three_layers());
    bench.flatten();
    let before = std::fs::metadata(bench.out()).unwrap().ino();
    bench.flatten();
    assert_ne!(std::fs::metadata(bench.out()).unwrap().ino(), before);
    assert_eq!(
        std::fs::read_dir(bench.out().parent().unwrap())
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn image_without_layers_is_an_empty_folder() {
    let bench = Bench::new();
    let made = bench.flatten();
    assert_eq!(made.entries, 0);
    let root = bench.mount();
    assert!(root.names("").is_empty());
    let seen = root.metadata("");
    assert_eq!((seen.mode() & 0o7777, seen.mtime()), (0o755, 0));
}

#[test]
fn opaque_folder_hides_lower_layers_wherever_it_stands_in_its_archive() {
    let lower = Archive::of([
        file("d/old", "1"),
        file("d/sub/old", "1"),
        file("d/same", "1"),
    ]);
    let marker = file("d/.wh..wh..opq", "");
    let new = [
        file("d/new", "2"),
        file("d/sub/new", "2"),
        file("d/same", "2"),
    ];
    let first = Archive::of([marker.clone()].into_iter().chain(new.clone()));
    let last = Archive::of(new.into_iter().chain([marker]));
    for upper in [first, last] {
        let root = Bench::of(&[lower.clone(), upper]).mount();
        assert_eq!(root.names("d"), ["new", "same", "sub"]);
        assert_eq!(root.names("d/sub"), ["new"]);
        assert_eq!(root.read("d/same"), b"2");
    }
}

#[test]
fn whiteout_does_not_touch_its_own_layer() {
    let lower = Archive::of([file("d/old", "1"), file("f", "1")]);
    let upper = [
        folder("d"),
        file("d/new", "2"),
        file(".wh.d", ""),
        file("f", "2"),
        file(".wh.f", ""),
    ];
    let root = Bench::of(&[lower, Archive::of(upper)]).mount();
    assert_eq!(root.names("d"), ["new"]);
    assert_eq!(root.read("f"), b"2");
}

#[test]
fn whiteouts_of_what_is_not_there_do_nothing_but_imply_their_folder() {
    let layer = [
        file(".wh.a", ""),
        file("implied/.wh.b", ""),
        file(".wh..wh.aufs", ""),
        file("x", ""),
    ];
    let root = Bench::of(&[Archive::of(layer)]).mount();
    assert_eq!(root.names(""), ["implied", "x"]);
    assert!(root.names("implied").is_empty());
}

#[test]
fn whiteout_keeps_its_folder_where_its_own_layer_hides_what_is_below() {
    let lower = Archive::of([file("a/c/a", "1"), file("a/gone/x", "1")]);
    let whiteout = file("a/c/.wh.a", "");
    let hidings = [
        vec![folder("a"), file("a/.wh..wh..opq", "")],
        vec![file("a/.wh.c", ""), file("a/.wh.gone", "")],
    ];
    for hiding in hidings {
        let first = Archive::of([whiteout.clone()].into_iter().chain(hiding.clone()));
        let last = Archive::of(hiding.into_iter().chain([whiteout.clone()]));
        for upper in [first, last] {
            let root = Bench::of(&[lower.clone(), upper]).mount();
            assert_eq!(root.names("a"), ["c"]);
            assert!(root.names("a/c").is_empty());
        }
    }
}

#[test]
fn whiteout_keeps_no_folder_that_a_later_layer_hides() {
    let layers = [
        Archive::of([file("a/c/x", "1")]),
        Archive::of([file("a/c/.wh.x", "")]),
        Archive::of([file("a/.wh..wh..opq", "")]),
    ];
    let root = Bench::of(&layers).mount();
    assert!(root.names("a").is_empty());
}

#[test]
fn overlay_whiteout_device_removes_what_it_covers() {
    let lower = Archive::of([file("a", "1"), file("d/x", "1"), file("kept", "1")]);
    let upper = Archive::of([device(b'3', "a", 0, 0), device(b'3', "d", 0, 0)]);
    let root = Bench::of(&[lower, upper]).mount();
    assert_eq!(root.names(""), ["kept"]);
}

#[test]
fn files_and_folders_replace_each_other() {
    let lower = Archive::of([
        file("f", "1"),
        folder("d"),
        file("d/x/y", "1"),
        symlink("s", "d"),
    ]);
    let upper = Archive::of([folder("f"), file("f/in", "2"), file("d", "2"), folder("s")]);
    let root = Bench::of(&[lower, upper]).mount();
    assert_eq!(root.names("f"), ["in"]);
    assert_eq!(root.read("d"), b"2");
    assert!(root.metadata("s").is_dir());
}

#[test]
fn folder_on_a_folder_changes_its_metadata_and_keeps_its_content() {
    let lower = Archive::of([folder("d").xattr("user.a", "1"), file("d/x", "1")]);
    let upper = Archive::of([folder("d").mode(0o1777).owner(5, 6)]);
    let root = Bench::of(&[lower, upper]).mount();
    assert_eq!(root.names("d"), ["x"]);
    let seen = root.metadata("d");
    assert_eq!(
        (seen.mode() & 0o7777, seen.uid(), seen.gid()),
        (0o1777, 5, 6)
    );
    assert!(root.xattrs("d").is_empty());
}

#[test]
fn symlink_of_a_lower_layer_is_hidden_by_what_lies_below_it_and_never_followed() {
    let lower = Archive::of([folder("usr/lib"), symlink("lib", "usr/lib"), file("f", "1")]);
    let upper = Archive::of([file("lib/x", "2"), file("f/x", "2")]);
    let root = Bench::of(&[lower, upper]).mount();
    assert!(root.metadata("lib").is_dir());
    assert_eq!(root.read("lib/x"), b"2");
    assert!(root.names("usr/lib").is_empty());
    assert_eq!(root.read("f/x"), b"2");
}

#[test]
fn last_of_several_entries_with_one_name_counts() {
    let layer = [
        file("a", "1"),
        file("./a", "2"),
        file("/a", "3"),
        folder("b"),
        file("b", "4"),
    ];
    let root = Bench::of(&[Archive::of(layer)]).mount();
    assert_eq!(root.read("a"), b"3");
    assert_eq!(root.read("b"), b"4");
    assert_eq!(root.names(""), ["a", "b"]);
}

#[test]
fn hard_links_share_an_inode_also_across_layers() {
    let lower = Archive::of([file("a", "1"), hard_link("d/b", "/a"), symlink("s", "a")]);
    let upper = Archive::of([hard_link("c", "./d/b"), hard_link("t", "s"), file("a", "2")]);
    let root = Bench::of(&[lower, upper]).mount();
    let (b, c) = (root.metadata("d/b"), root.metadata("c"));
    assert_eq!(b.ino(), c.ino());
    assert_eq!(b.nlink(), 2);
    assert_eq!(root.read("c"), b"1");
    assert_eq!(root.read("a"), b"2");
    assert_eq!(root.metadata("a").nlink(), 1);
    assert_eq!(root.metadata("s").ino(), root.metadata("t").ino());
    assert_eq!(root.metadata("t").nlink(), 2);
}

#[test]
fn hard_link_below_what_it_links_to_takes_it_out_first() {
    let lower = Archive::of([file("f", "1")]);
    let upper = Archive::of([hard_link("f/inner", "f")]);
    let root = Bench::of(&[lower, upper]).mount();
    assert_eq!(root.read("f/inner"), b"1");
}

#[test]
fn removed_files_leave_no_bytes_in_the_root() {
    let secret = b"a secret that a later layer takes away";
    let lower = Archive::of([file("key", secret), file("kept", "1")]);
    let bench = Bench::of(&[lower, Archive::of([file(".wh.key", "")])]);
    bench.flatten();
    let bytes = std::fs::read(bench.out()).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
}

#[test]
fn equal_contents_are_stored_once() {
    let content: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let once = Bench::of(&[Archive::of([file("a", &content)])]).flatten();
    let layer = Archive::of([file("a", &content), file("b", &content)]);
    let twice = Bench::of(&[layer.clone(), layer]);
    assert!(twice.flatten().size < once.size + 8192);
    let root = twice.mount();
    assert_eq!(root.read("a"), content);
    assert_eq!(root.read("b"), content);
    assert_ne!(root.metadata("a").ino(), root.metadata("b").ino());
}
