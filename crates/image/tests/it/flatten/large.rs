//! What is large in some way: files, folders, depth.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use super::Bench;
use super::archive::{Archive, file, folder, gzip};

const BLOCK: usize = 128 * 1024;

#[test]
fn files_around_the_size_of_a_block_are_kept_exactly() {
    let sizes = [
        0,
        1,
        4095,
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        3 * BLOCK,
        3 * BLOCK + 77,
    ];
    let content = |size: usize| -> Vec<u8> { (0..size).map(|n| (n * 31 % 251) as u8).collect() };
    let layer = sizes.map(|size| file(format!("f{size}"), content(size)));
    let zeros = sizes.map(|size| file(format!("z{size}"), vec![0; size]));
    let root = Bench::of(&[Archive::of(layer.into_iter().chain(zeros))]).mount();
    for size in sizes {
        assert_eq!(root.read(format!("f{size}")), content(size), "{size}");
        assert_eq!(root.read(format!("z{size}")), vec![0; size], "{size}");
    }
}

#[test]
fn thousands_of_small_files_share_fragments() {
    let name = |n: u32| format!("d{}/f{n}", n % 7);
    let content = |n: u32| format!("{n} ").repeat(n as usize % 300);
    let layer = (0..3000).map(|n| file(name(n), content(n)));
    let root = Bench::of(&[Archive::of(layer)]).mount();
    for n in 0..3000 {
        assert_eq!(root.read(name(n)), content(n).as_bytes(), "{n}");
    }
}

#[test]
fn folder_of_ten_thousand_names_is_listed_and_searched() {
    let name = |n: u32| {
        format!(
            "d/name-{:05}-{}",
            n * 7919 % 10_000,
            "x".repeat(n as usize % 60)
        )
    };
    let root = Bench::of(&[Archive::of(
        (0..10_000).map(|n| file(name(n), n.to_string())),
    )])
    .mount();
    assert_eq!(root.names("d").len(), 10_000);
    for n in 0..10_000 {
        assert_eq!(root.read(name(n)), n.to_string().as_bytes(), "{}", name(n));
    }
    assert!(!root.exists("d/name-"));
    assert!(!root.exists("d/name-05000-"));
    assert!(!root.exists("d/zzz"));
}

#[test]
fn folder_counts_its_subfolders_as_links() {
    let layer = [folder("d/a"), folder("d/b"), file("d/c", "")];
    let root = Bench::of(&[Archive::of(layer)]).mount();
    assert_eq!(root.metadata("d").nlink(), 4);
    assert_eq!(root.metadata("d/a").nlink(), 2);
    assert_eq!(root.metadata("").nlink(), 3);
}

#[test]
fn tree_of_a_hundred_levels_is_kept() {
    let path = vec!["level"; 99].join("/");
    let root = Bench::of(&[Archive::of([
        folder(&path),
        file(format!("{path}/end"), "deep"),
    ])])
    .mount();
    assert_eq!(root.read(format!("{path}/end")), b"deep");
}

#[test]
fn more_inodes_than_one_run_can_number_are_found() {
    // A hard link in the last folder to a file in the first is further away than 16 bits reach.
    use super::archive::hard_link;
    let files = (0..40_000).map(|n| file(format!("d{:02}/f{n}", n % 40), ""));
    let links = [
        hard_link("z/first", "d00/f0"),
        hard_link("a/last", "d39/f39999"),
    ];
    let root = Bench::of(&[Archive::of(files.chain(links))]).mount();
    assert_eq!(
        root.metadata("z/first").ino(),
        root.metadata("d00/f0").ino()
    );
    assert_eq!(
        root.metadata("a/last").ino(),
        root.metadata("d39/f39999").ino()
    );
    assert_eq!(root.names("d07").len(), 1000);
}

#[test]
fn sparse_file_of_five_gigabytes_takes_no_space_in_any_format_of_gnu_tar() {
    const SIZE: u64 = 5 << 30;
    let source = tempfile::TempDir::new().unwrap();
    let mut big = File::create(source.path().join("big")).unwrap();
    for place in 0..30 {
        big.seek(SeekFrom::Start(place * (SIZE / 30))).unwrap();
        write!(big, "part {place}").unwrap();
    }
    big.write_all_at(b"end", SIZE - 3).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .args(["--sparse", "-c", "-C"])
            .arg(source.path())
            .args(format)
            .arg("big")
            .output()
            .unwrap();
        assert!(output.status.success());
        let mut bench = Bench::new();
        bench.add(&gzip(&output.stdout));
        assert!(bench.flatten().size < 10 << 20, "{format:?}");
        let root = bench.mount();
        assert_eq!(root.names(""), ["big"]);
        let seen = root.metadata("big");
        assert_eq!(seen.len(), SIZE);
        assert!(seen.blocks() * 512 < 10 << 20);
        let file = File::open(root.path("big")).unwrap();
        let mut buffer = [0; 8];
        for place in 0..30 {
            let text = format!("part {place}");
            file.read_exact_at(&mut buffer, place * (SIZE / 30))
                .unwrap();
            assert!(buffer.starts_with(text.as_bytes()), "{format:?} {place}");
        }
        file.read_exact_at(&mut buffer[..3], SIZE - 3).unwrap();
        assert_eq!(&buffer[..3], b"end");
        file.read_exact_at(&mut buffer, SIZE / 60).unwrap();
        assert_eq!(buffer, [0; 8]);
    }
}
