//! Archives that are wrong, by accident or on purpose. None of them leaves anything behind.

use std::path::Path;

use image::Digest;
use image::archive::{Error, Refusal};
use serde_json::{Value, json};

use super::maker::{Maker, Parts, index, layer, save};
use crate::samples::{Sample, files, name};

fn refuse(bytes: &[u8]) -> Error {
    let sample = Sample::new();
    let archive = save(&sample, bytes);
    let refused = sample.store.import(&archive, Some(&name("a.io/fn")));
    let error = refused.expect_err("it was taken");
    assert!(sample.store.list().unwrap().is_empty());
    assert!(files(&sample.images().join("blobs/sha256")).is_empty());
    assert!(sample.unfinished().is_empty());
    error
}

fn refusal(maker: Maker) -> Refusal {
    match refuse(&maker.bytes()) {
        Error::Refused { source, .. } => source,
        error => panic!("{error:?}"),
    }
}

fn anonymous(parts: &Parts) -> Value {
    index(&parts.manifest, &json!({}))
}

#[test]
fn paths_that_leave_the_archive_are_refused() {
    let outside = Path::new("/tmp/image-test-climbed");
    for path in ["../x", "a/../../x", "a/../x", "/tmp/image-test-climbed"] {
        assert_eq!(
            refusal(Maker::new().file(path, "x")),
            Refusal::Climbs,
            "{path}"
        );
    }
    for target in ["../../etc/passwd", "/etc/passwd"] {
        let link = Maker::new().symlink("one/layer.tar", target);
        assert_eq!(refusal(link), Refusal::Climbs, "{target}");
    }
    assert!(!outside.exists());
}

#[test]
fn a_name_that_is_there_twice_is_refused() {
    let twice = Maker::new().file("a", "1").file("./a", "2");
    assert_eq!(refusal(twice), Refusal::Twice);
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let parts = Parts::new();
    let path = format!("blobs/sha256/{}", Digest::of(b"something else").hex());
    let error = refuse(&parts.blobs().file(&path, "this").bytes());
    let Error::Store(image::Error::DigestMismatch { expected, actual }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(expected, Digest::of(b"something else"));
    assert_eq!(actual, Digest::of(b"this"));
}

#[test]
fn a_blob_that_is_missing_is_named() {
    let parts = Parts::new();
    let all = [
        &parts.manifest,
        &parts.config,
        &parts.layers[0],
        &parts.layers[1],
    ];
    for left_out in all {
        let mut maker = Maker::new()
            .json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
            .json("index.json", &anonymous(&parts));
        for blob in all.iter().filter(|blob| **blob != left_out) {
            maker = maker.blob(blob);
        }
        match refuse(&maker.bytes()) {
            Error::Missing { missing, .. } => {
                assert!(missing.ends_with(Digest::of(left_out).hex()), "{missing}");
            }
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_blob_that_is_a_link_to_another_is_refused() {
    let parts = Parts::new();
    let wanted = format!("blobs/sha256/{}", Digest::of(&parts.layers[1]).hex());
    let other = Digest::of(&parts.layers[0]).hex().to_owned();
    let maker = Maker::new()
        .json("oci-layout", &json!({}))
        .json("index.json", &anonymous(&parts))
        .blob(&parts.manifest)
        .blob(&parts.config)
        .blob(&parts.layers[0])
        .symlink(&wanted, &other);
    let error = refuse(&maker.bytes());
    assert!(matches!(error, Error::Digest { .. }), "{error:?}");
}

#[test]
fn a_size_that_does_not_fit_is_refused() {
    let parts = Parts::new();
    let mut list = anonymous(&parts);
    list["manifests"][0]["size"] = json!(parts.manifest.len() + 1);
    let error = refuse(&parts.blobs().json("index.json", &list).bytes());
    let mismatch = matches!(error, Error::Store(image::Error::SizeMismatch { .. }));
    assert!(mismatch, "{error:?}");
}

#[test]
fn a_layer_that_docker_saved_and_somebody_changed_is_refused() {
    let parts = Parts::new();
    let config = format!("{}.json", Digest::of(&parts.config).hex());
    let list = json!([{"Config": config, "RepoTags": null, "Layers": ["a.tar", "b.tar"]}]);
    let with = |second: &[u8], written: &[u8]| {
        Maker::new()
            .file("a.tar", &parts.layers[0])
            .file("b.tar", second)
            .file(&config, written)
            .json("manifest.json", &list)
            .bytes()
    };
    let changed_layer = refuse(&with(&layer("evil"), &parts.config));
    assert!(matches!(&changed_layer, Error::Digest { entry, .. } if entry == "b.tar"));
    let mut evil_config = parts.config.clone();
    evil_config.push(b' ');
    let changed_config = refuse(&with(&parts.layers[1], &evil_config));
    assert!(matches!(&changed_config, Error::Digest { entry, .. } if *entry == config));
}

#[test]
fn a_link_that_goes_in_circles_is_a_missing_file() {
    let circle = Maker::new()
        .symlink("index.json", "loop")
        .symlink("loop", "index.json")
        .json("oci-layout", &json!({}));
    let error = refuse(&circle.bytes());
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
}

#[test]
fn what_holds_no_image_says_so() {
    let root_fs = Maker::new().file("bin/sh", "x").bytes();
    let error = refuse(&root_fs);
    assert!(matches!(error, Error::NoImage { .. }), "{error:?}");
    assert!(error.to_string().contains("vhive image build"), "{error}");
    for no_tar in [
        &b"hello"[..],
        &[1; 5000],
        b"\x1f\x8b no gzip",
        b"\x28\xb5\x2f\xfd",
    ] {
        let error = refuse(no_tar);
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    }
}

#[test]
fn an_archive_that_is_cut_off_is_damaged() {
    let parts = Parts::new();
    let whole = parts.blobs().json("index.json", &anonymous(&parts)).bytes();
    let error = refuse(&whole[..1500]);
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let zstd = zstd::encode_all(whole.as_slice(), 1).unwrap();
    let error = refuse(&zstd[..zstd.len() / 2]);
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let layer = layer("run");
    let config = json!({
        "architecture": "arm64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    });
    let list = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"]}]);
    let maker = Maker::new()
        .json("c.json", &config)
        .file("l.tar", &layer)
        .json("manifest.json", &list);
    match refuse(&maker.bytes()) {
        Error::Document { source, .. } => {
            assert!(source.to_string().contains("linux/arm64"), "{source}");
        }
        error => panic!("{error:?}"),
    }
}
