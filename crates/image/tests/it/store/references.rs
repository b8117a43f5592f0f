//! Names of images.

use std::thread;

use image::{Digest, Error, Pin, Store};

use crate::samples::{Sample, assert_usable, name};

#[test]
fn an_image_is_found_by_name_and_by_digest_in_any_open_store() {
    let sample = Sample::new();
    let image = sample.image("dev.local/fn:v1", b"x");
    assert_usable(&sample.open_again(), &image);
    let by_digest = name("elsewhere.io/other").with_digest(image.digest.clone());
    let found = sample.store.resolve(&by_digest).unwrap().unwrap();
    assert_eq!(found.digest, image.digest);
    assert_eq!(
        sample.store.resolve(&name("dev.local/fn:v2")).unwrap(),
        None
    );
}

#[test]
fn a_name_moves_with_a_tag_and_goes_with_remove() {
    let sample = Sample::new();
    let (one, two) = (
        sample.image("a.io/one", b"1"),
        sample.image("a.io/two", b"2"),
    );
    let latest = name("a.io/fn:latest");
    for image in [&one, &two] {
        sample.store.tag(&image.digest, &latest).unwrap();
        let found = sample.store.resolve(&latest).unwrap().unwrap();
        assert_eq!(found.digest, image.digest);
    }
    sample.store.remove(&latest).unwrap();
    assert_eq!(sample.store.resolve(&latest).unwrap(), None);
    let again = sample.store.remove(&latest);
    assert!(
        matches!(again, Err(Error::UnknownReference { .. })),
        "{again:?}"
    );
    assert_usable(&sample.store, &two);
}

#[test]
fn a_tag_needs_an_image_and_a_digest_that_fits() {
    let sample = Sample::new();
    let image = sample.image("a.io/fn", b"1");
    let absent = sample.store.tag(&Digest::of(b"absent"), &name("a.io/x"));
    assert!(
        matches!(absent, Err(Error::BlobMissing { .. })),
        "{absent:?}"
    );
    let other = name("a.io/x").with_digest(Digest::of(b"other"));
    let wrong = sample.store.tag(&image.digest, &other);
    assert!(matches!(wrong, Err(Error::OtherDigest { .. })), "{wrong:?}");
    let right = name("a.io/x").with_digest(image.digest.clone());
    sample.store.tag(&image.digest, &right).unwrap();
}

#[test]
fn the_list_says_what_each_image_takes() {
    let sample = Sample::new();
    let image = sample.image("a.io/b", b"x");
    sample.image("a.io/a", b"y");
    let root = sample
        .store
        .root(&image, &image::Limits::default())
        .unwrap();
    let list = sample.store.list().unwrap();
    let names: Vec<_> = list.iter().map(|info| info.reference.to_string()).collect();
    assert_eq!(names, ["a.io/a:latest", "a.io/b:latest"]);
    assert_eq!(list[0].root_bytes, None);
    assert_eq!(list[1].root_bytes, Some(root.size));
    assert_eq!(list[1].digest, image.digest);
    let blobs = crate::samples::files(&sample.images().join("blobs/sha256"));
    let size = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().len();
    let sum: u64 = list.iter().map(|info| info.size_bytes).sum();
    assert_eq!(sum, blobs.iter().map(size).sum::<u64>());
}

#[test]
fn no_change_is_lost_when_several_processes_make_them_at_once() {
    let sample = Sample::new();
    let image = sample.image("a.io/fn", b"x");
    let change = |store: Store, writer: usize| {
        for turn in 0..10 {
            let tag = name(&format!("a.io/fn:w{writer}-{turn}"));
            store.tag(&image.digest, &tag).unwrap();
            assert!(store.resolve(&tag).unwrap().is_some());
            if turn % 2 == 1 {
                store.remove(&tag).unwrap();
            }
        }
    };
    thread::scope(|scope| {
        for writer in 0..4 {
            let store = sample.open_again();
            scope.spawn(move || change(store, writer));
        }
    });
    let list = sample.store.list().unwrap();
    assert_eq!(list.len(), 1 + 4 * 5, "{list:?}");
}

#[test]
fn the_folder_is_an_oci_layout_that_other_tools_read() {
    let sample = Sample::new();
    let image = sample.image("dev.local/fn", b"x");
    let read = |name: &str| -> serde_json::Value {
        let bytes = std::fs::read(sample.images().join(name)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    assert_eq!(read("oci-layout")["imageLayoutVersion"], "1.0.0");
    let entry = &read("index.json")["manifests"][0];
    assert_eq!(entry["digest"], image.digest.as_str());
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        "dev.local/fn:latest"
    );
}

#[test]
fn a_pinned_image_is_found_by_its_digest_and_kept_when_it_has_lost_its_name() {
    let sample = Sample::new();
    let first = sample.image("dev.local/fn", b"1");
    sample.store.pin(&first.digest, "holder").unwrap();
    sample.store.pin(&first.digest, "another").unwrap();
    let second = sample.image("dev.local/fn", b"2");
    sample.open_again().gc().unwrap();
    let by_digest = name("dev.local/fn").with_digest(first.digest.clone());
    let found = sample.store.resolve(&by_digest).unwrap().unwrap();
    assert_eq!(
        (found.digest, found.layers),
        (first.digest.clone(), first.layers)
    );
    assert_usable(&sample.store, &second);
    assert_eq!(sample.store.list().unwrap().len(), 1, "a pin is no name");

    sample
        .store
        .retain_pins(|holder| holder == "another")
        .unwrap();
    sample.store.gc().unwrap();
    assert!(sample.store.resolve(&by_digest).unwrap().is_some());
    sample.store.retain_pins(|_| false).unwrap();
    assert_eq!(sample.store.resolve(&by_digest).unwrap(), None);
    assert!(sample.store.gc().unwrap() > 0);
    assert!(!sample.blob(&first.digest).exists());
}

#[test]
fn many_pins_are_set_at_once_or_none_is() {
    let sample = Sample::new();
    let image = sample.image("a.io/fn", b"x").digest;
    let pin = |holder: &str, image: Option<&Digest>| Pin {
        holder: holder.to_owned(),
        image: image.cloned(),
    };
    let absent = Digest::of(b"absent");
    let pinned = || {
        let index = std::fs::read_to_string(sample.images().join("index.json")).unwrap();
        ["a", "b", "c"].map(|holder| index.contains(&format!("\"{holder}\"")))
    };
    let set = |pins: &[Pin]| sample.store.set_pins(pins);
    set(&[pin("a", Some(&image)), pin("b", Some(&absent))]).unwrap_err();
    assert_eq!(pinned(), [false, false, false]);
    set(&[
        pin("a", Some(&image)),
        pin("b", Some(&image)),
        pin("c", Some(&image)),
        pin("c", None),
    ])
    .unwrap();
    assert_eq!(pinned(), [true, true, false]);
    set(&[pin("a", None), pin("c", Some(&image))]).unwrap();
    assert_eq!(pinned(), [false, true, true]);
}

#[test]
fn a_pin_needs_an_image_and_moves_to_another() {
    let sample = Sample::new();
    let absent = sample.store.pin(&Digest::of(b"absent"), "holder");
    assert!(
        matches!(absent, Err(Error::BlobMissing { .. })),
        "{absent:?}"
    );
    let images = [
        sample.image("a.io/one", b"1"),
        sample.image("a.io/two", b"2"),
    ];
    for image in &images {
        sample.store.pin(&image.digest, "holder").unwrap();
        sample.store.remove(&image.reference).unwrap();
    }
    sample.store.gc().unwrap();
    assert!(!sample.blob(&images[0].digest).exists());
    assert!(sample.blob(&images[1].digest).exists());
}
