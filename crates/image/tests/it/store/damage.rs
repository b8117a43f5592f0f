//! Disks that forget.

use std::fs;

use image::{Error, Limits, Store};

use crate::samples::{Sample, assert_usable, files, noise};

#[test]
fn a_damaged_layer_is_found_removed_and_can_be_had_again() {
    let sample = Sample::new();
    let content = noise(100_000, 3);
    let image = sample.image("a.io/fn", &content);
    let layer = sample.blob(&image.layers[0]);
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).unwrap();

    let error = sample.store.root(&image, &Limits::default()).unwrap_err();

    assert!(
        matches!(&error, Error::BlobDamaged { digest } if *digest == image.layers[0]),
        "{error}"
    );
    assert!(!layer.exists());
    let again = sample.image("a.io/fn", &content);
    assert_eq!(again, image);
    assert_usable(&sample.store, &again);
}

#[test]
fn a_damaged_manifest_is_told_and_does_not_hide_other_images() {
    let sample = Sample::new();
    let (bad, good) = (
        sample.image("a.io/bad", b"1"),
        sample.image("a.io/good", b"2"),
    );
    fs::write(sample.blob(&bad.digest), b"{}").unwrap();

    let list = sample.store.list().unwrap();
    assert!(list[0].damage.as_ref().unwrap().contains("pull or import"));
    assert_eq!(list[1].damage, None);
    let error = sample.store.resolve(&bad.reference).unwrap_err();
    assert!(matches!(error, Error::BlobMissing { .. }), "{error}");

    sample.store.gc().unwrap();
    assert_usable(&sample.store, &good);
    sample.store.remove(&bad.reference).unwrap();
    assert_eq!(sample.store.list().unwrap().len(), 1);
}

#[test]
fn a_damaged_list_is_an_error_that_names_the_file() {
    let sample = Sample::new();
    sample.image("a.io/fn", b"1");
    let index = sample.images().join("index.json");
    fs::write(&index, b"{\"schemaVersion\": 2, \"mani").unwrap();
    let error = Store::open(&sample.images()).unwrap_err();
    assert!(
        matches!(&error, Error::IndexDamaged { path, .. } if *path == index),
        "{error}"
    );
    // Nothing was thrown away because of it.
    assert!(sample.store.gc().is_err());
    assert_eq!(files(&sample.images().join("blobs/sha256")).len(), 3);
}
