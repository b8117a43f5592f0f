//! Layers that were made to do harm, or came to harm.

use image::flatten::{Error, Limits, Place, Refusal};

use super::Bench;
use super::archive::{Archive, Entry, device, entry, file, folder, gzip, hard_link, symlink, zstd};

/// Flattens a harmless layer and one with a harmless entry before `bad`; asserts that the second
/// layer and the bad entry are named, and gives the rule.
fn refusal(bad: Entry, shown: &str) -> Refusal {
    let good = Archive::of([file("etc/passwd", "x"), symlink("out", "/etc")]);
    match Bench::of(&[good, Archive::of([file("fine", ""), bad])]).refused() {
        Error::Refused {
            layer,
            place,
            source,
        } => {
            assert_eq!(layer, "layer-2");
            assert_eq!(place, Place::At(shown.to_owned()));
            source
        }
        other => panic!("{other}"),
    }
}

#[test]
fn paths_that_climb_are_refused() {
    for path in ["../etc/passwd", "a/../../b", "a/..", "/../b", ".."] {
        assert_eq!(refusal(file(path, ""), path), Refusal::Climbs);
        assert_eq!(refusal(folder(path), path), Refusal::Climbs);
    }
    assert_eq!(
        refusal(file("../.wh.passwd", ""), "../.wh.passwd"),
        Refusal::Climbs
    );
}

#[test]
fn hard_links_that_climb_dangle_or_name_folders_are_refused() {
    let link = |target: &str| refusal(hard_link("l", target), "l");
    let target = |target: &str| target.to_owned();
    assert_eq!(link("../etc/passwd"), Refusal::Climbs);
    assert_eq!(link("etc/../../passwd"), Refusal::Climbs);
    assert_eq!(
        link("none"),
        Refusal::MissingLinkTarget {
            target: target("none")
        }
    );
    // Through a symlink: not followed, so not there.
    assert_eq!(
        link("out/passwd"),
        Refusal::MissingLinkTarget {
            target: target("out/passwd")
        }
    );
    assert_eq!(
        link("etc"),
        Refusal::LinkToFolder {
            target: target("etc")
        }
    );
    assert_eq!(link("/"), Refusal::LinkToFolder { target: target("") });
    assert_eq!(link("./l"), Refusal::LinkToItself);
}

#[test]
fn entries_below_a_symlink_or_file_of_their_layer_are_refused() {
    for bad in [symlink("here", "/etc"), file("here", "")] {
        let layer = Archive::of([bad, file("here/passwd", "root")]);
        let error = Bench::of(&[layer]).refused();
        let Error::Refused { place, source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(place, Place::At("here/passwd".to_owned()));
        assert_eq!(
            source,
            Refusal::BelowNonFolder {
                at: "here".to_owned()
            }
        );
    }
}

#[test]
fn names_and_targets_that_no_kernel_takes_are_refused() {
    assert_eq!(refusal(file("a\0b", ""), "a\0b"), Refusal::Nul);
    assert_eq!(refusal(symlink("s", "a\0b"), "s"), Refusal::Nul);
    let long = "n".repeat(256);
    assert_eq!(refusal(file(&long, ""), &long), Refusal::NameTooLong);
    assert_eq!(refusal(symlink("s", ""), "s"), Refusal::BadSymlink);
    assert_eq!(
        refusal(symlink("s", "t".repeat(4096)), "s"),
        Refusal::BadSymlink
    );
    assert_eq!(refusal(file("/", ""), "/"), Refusal::RootNotFolder);
    assert_eq!(refusal(symlink(".", "/etc"), "."), Refusal::RootNotFolder);
}

#[test]
fn bad_whiteouts_are_refused() {
    for path in [".wh.", "etc/.wh..", "etc/.wh...", ".wh.etc/passwd"] {
        assert_eq!(refusal(file(path, ""), path), Refusal::BadWhiteout);
    }
}

#[test]
fn owners_devices_attributes_and_types_out_of_range_are_refused() {
    let bad = file("f", "").pax("uid", "4294967295");
    assert_eq!(refusal(bad, "f"), Refusal::BadOwner(4_294_967_295));
    let bad = file("f", "").pax("gid", "-1");
    assert_eq!(refusal(bad, "f"), Refusal::BadOwner(-1));
    let bad = device(b'3', "d", 4096, 0);
    assert_eq!(
        refusal(bad, "d"),
        Refusal::BadDevice {
            major: 4096,
            minor: 0
        }
    );
    let bad = file("f", "").xattr("user.large", vec![0; 65537]);
    assert_eq!(
        refusal(bad, "f"),
        Refusal::BadXattr {
            name: "user.large".to_owned()
        }
    );
    let layer = Archive::of([file("fine", ""), entry(b'V', "volume")]);
    let Error::Refused { place, source, .. } = Bench::of(&[layer]).refused() else {
        panic!();
    };
    assert_eq!(place, Place::After("fine".to_owned()));
    assert_eq!(source, Refusal::UnknownType('V'));
}

#[test]
fn more_than_the_limits_allow_is_refused() {
    let limits = Limits {
        max_layers: 2,
        max_entries: 10,
        max_unpacked_bytes: 100_000,
        max_metadata_bytes: 2000,
        max_depth: 5,
    };
    let refused = |layer: Archive| match Bench::of(&[layer]).refused_within(&limits) {
        Error::Refused { layer, source, .. } => {
            assert_eq!(layer, "layer-1");
            source
        }
        other => panic!("{other}"),
    };
    let entries = Refusal::TooManyEntries { limit: 10 };
    assert_eq!(
        refused(Archive::of((0..11).map(|n| file(n.to_string(), "")))),
        entries
    );
    // Whiteouts and implied folders count too.
    assert_eq!(
        refused(Archive::of((0..11).map(|_| file(".wh.x", "")))),
        entries
    );
    let deep = Archive::of([
        file("a/b/c/d/e", ""),
        file("f/g/h/i/j", ""),
        file("x/y", ""),
    ]);
    assert_eq!(refused(deep), entries);
    assert_eq!(
        refused(Archive::of([file("1/2/3/4/5/6", "")])),
        Refusal::TooDeep { limit: 5 }
    );
    let bytes = Refusal::TooManyBytes { limit: 100_000 };
    assert_eq!(refused(Archive::of([file("f", vec![1; 100_001])])), bytes);
    let xattr = Archive::of([file("f", "").xattr("user.x", vec![0; 2000])]);
    assert_eq!(refused(xattr), Refusal::TooMuchMetadata { limit: 2000 });
    let layer = || Archive::of([file("f", "")]);
    let error = Bench::of(&[layer(), layer(), layer()]).refused_within(&limits);
    assert!(matches!(error, Error::TooManyLayers { count: 3, limit: 2 }));
}

#[test]
fn limits_hold_for_all_layers_together() {
    let limits = Limits {
        max_unpacked_bytes: 100_000,
        ..Limits::default()
    };
    let layer = Archive::of([file("f", vec![1; 60_000])]);
    let error = Bench::of(&[layer.clone(), layer]).refused_within(&limits);
    assert!(matches!(error, Error::Refused { layer, .. } if layer == "layer-2"));
}

#[test]
fn bombs_are_stopped_while_they_inflate() {
    let limits = Limits {
        max_unpacked_bytes: 1 << 20,
        ..Limits::default()
    };
    // Behind the end mark, where no entry is read, as well as in a file.
    let file = Archive::of([file("f", vec![0; 64 << 20])]).bytes();
    let tail = [Archive::default().bytes(), vec![0; 64 << 20]].concat();
    for bomb in [gzip(&file), zstd(&file), gzip(&tail), zstd(&tail)] {
        let mut bench = Bench::new();
        bench.add(&bomb);
        let error = bench.refused_within(&limits);
        let Error::Refused { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source, Refusal::TooManyBytes { limit: 1 << 20 });
    }
}

#[test]
fn sparse_file_that_claims_more_than_it_may_is_refused() {
    let mut content = b"1\n0\n1\n".to_vec();
    content.resize(512, 0);
    content.push(b'x');
    let bad = file("made-up", content)
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.realsize", "9223372036854775807")
        .pax("GNU.sparse.name", "sparse");
    let found = refusal(bad, "sparse");
    assert!(matches!(found, Refusal::TooManyBytes { .. }), "{found}");
}

#[test]
fn layers_cut_off_anywhere_within_an_entry_are_refused() {
    let layer = Archive::of([file("a", vec![7; 3000]), folder("d"), file("d/b", "x")]);
    let bytes = layer.without_end_mark();
    // No step ends between two entries, where an archive may end.
    for cut in (1..bytes.len()).step_by(97) {
        let mut bench = Bench::new();
        bench.add(&bytes[..cut]);
        let error = bench.refused();
        let Error::Refused { source, .. } = error else {
            panic!("{cut}: {error}");
        };
        assert!(matches!(source, Refusal::Damaged(_)), "{cut}: {source}");
    }
}

#[test]
fn archive_without_an_end_mark_is_read_to_its_end() {
    let mut bench = Bench::new();
    bench.add(Archive::of([file("a", "1"), file("b", "2")]).without_end_mark());
    assert_eq!(bench.flatten().entries, 2);
}

#[test]
fn damaged_compression_is_told_with_the_place() {
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(1 << 20)
    .collect();
    let layer = Archive::of([file("first", "1"), file("second", &noise)]).bytes();
    let (gzip, zstd) = (gzip(&layer), zstd(&layer));
    let half = |packed: &[u8]| packed[..packed.len() / 2].to_vec();
    let short = |packed: &[u8]| packed[..packed.len() - 2].to_vec();
    let mut flipped = gzip.clone();
    flipped[gzip.len() / 2] ^= 0x55;
    for (what, blob) in [
        ("half of gzip", half(&gzip)),
        ("gzip without its last bytes", short(&gzip)),
        ("gzip with a byte changed", flipped),
        ("half of zstd", half(&zstd)),
        ("zstd without its last bytes", short(&zstd)),
    ] {
        let mut bench = Bench::new();
        bench.add(&blob);
        let error = bench.refused();
        let Error::Unreadable { layer, place, .. } = error else {
            panic!("{what}: {error}");
        };
        assert_eq!(layer, "layer-1");
        let second = "second".to_owned();
        assert!(
            [Place::At(second.clone()), Place::After(second)].contains(&place),
            "{what}"
        );
    }
}

#[test]
fn bytes_that_are_no_archive_are_refused() {
    for blob in [&b"not an archive"[..], &[b'x'; 5000], &[0x1f, 0x8b, 0, 0]] {
        let mut bench = Bench::new();
        bench.add(blob);
        let error = bench.refused();
        let text = error.to_string();
        assert!(
            text.contains("layer-1") && text.contains("at its first entry"),
            "{text}"
        );
    }
}

#[test]
fn extensions_without_bound_or_sense_are_refused() {
    let refused = |build: &dyn Fn(&mut Archive)| {
        let mut archive = Archive::default();
        build(&mut archive);
        match Bench::of(&[archive]).refused() {
            Error::Refused { source, .. } => source,
            other => panic!("{other}"),
        }
    };
    let large = vec![b'x'; (1 << 20) + 1];
    for class in *b"LKxg" {
        let found = refused(&|archive| archive.add_raw(class, b"x", &large));
        assert!(matches!(found, Refusal::Damaged(_)));
    }
    let found = refused(&|archive| archive.add_raw(b'x', b"x", b"9 path=a"));
    assert!(matches!(found, Refusal::Damaged(_)));
    let found = refused(&|archive| archive.add_raw(b'L', b"x", b"name without an entry"));
    assert!(matches!(found, Refusal::Damaged(_)));
}

#[test]
fn missing_blob_is_told_by_its_layer() {
    let bench = Bench::of(&[Archive::of([file("a", "")])]);
    std::fs::remove_file(&bench.layers[0].path).unwrap();
    assert!(matches!(bench.refused(), Error::Open { layer, .. } if layer == "layer-1"));
}
