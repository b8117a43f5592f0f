//! Out of one store and into another.

use std::fs;

use image::archive::Error;
use serde_json::json;

use super::maker::{Maker, OCI_MANIFEST, Parts, config, descriptor, index, layer, manifest};
use crate::samples::{Sample, assert_usable, name};

#[test]
fn an_exported_image_is_imported_as_the_same_image() {
    let (here, there) = (Sample::new(), Sample::new());
    let image = here.image("registry.io:5000/team/fn:v3", b"program");
    let archive = here.folder.path().join("fn.tar");
    here.store.export(&image.reference, &archive).unwrap();
    let names = there.store.import(&archive, None).unwrap();
    assert_eq!(names, std::slice::from_ref(&image.reference));
    assert_usable(&there.store, &image);
}

#[test]
fn the_same_image_is_exported_as_the_same_bytes() {
    let (here, there) = (Sample::new(), Sample::new());
    let image = here.image("a.io/fn", b"program");
    let archive = here.folder.path().join("fn.tar");
    here.store.export(&image.reference, &archive).unwrap();
    there.store.import(&archive, None).unwrap();
    let again = there.folder.path().join("again.tar");
    there.store.export(&image.reference, &again).unwrap();
    assert!(fs::read(&archive).unwrap() == fs::read(&again).unwrap());
}

#[test]
fn an_exported_image_is_one_for_older_docker_too() {
    let (here, there) = (Sample::new(), Sample::new());
    let image = here.image("a.io/fn", b"program");
    let archive = here.folder.path().join("fn.tar");
    here.store.export(&image.reference, &archive).unwrap();
    // Without the OCI part, `manifest.json` is what is left to go by.
    let mut input = tar::Archive::new(fs::File::open(&archive).unwrap());
    let mut legacy = Maker::new();
    for entry in input.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        if path != "index.json" && path != "oci-layout" {
            legacy = legacy.file(&path, content);
        }
    }
    let names = there.store.import(&legacy.save(&there), None).unwrap();
    assert_eq!(names, std::slice::from_ref(&image.reference));
    let found = there.store.resolve(&image.reference).unwrap().unwrap();
    assert_eq!((found.layers, found.config), (image.layers, image.config));
}

#[test]
fn an_unknown_image_is_not_exported() {
    let sample = Sample::new();
    let out = sample.folder.path().join("fn.tar");
    let error = sample.store.export(&name("a.io/fn"), &out).unwrap_err();
    assert!(error.to_string().contains("a.io/fn:latest"), "{error}");
    assert!(!out.exists());
}

#[test]
fn the_image_for_our_platform_is_taken_from_an_index() {
    let (sample, parts) = (Sample::new(), Parts::new());
    let foreign = b"a manifest that is not there".as_slice();
    let platform = |content: &[u8], architecture: &str| {
        let mut entry = descriptor(OCI_MANIFEST, content);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let list = json!({
        "schemaVersion": 2,
        "manifests": [platform(foreign, "arm64"), platform(&parts.manifest, "amd64")],
    });
    let list = list.to_string().into_bytes();
    let archive = parts
        .blobs()
        .blob(&list)
        .json(
            "index.json",
            &index(
                &list,
                &json!({"org.opencontainers.image.ref.name": "a.io/fn:v1"}),
            ),
        )
        .save(&sample);
    assert_eq!(
        sample.store.import(&archive, None).unwrap(),
        [name("a.io/fn:v1")]
    );
    let image = sample.store.resolve(&name("a.io/fn:v1")).unwrap().unwrap();
    assert_eq!(image.digest, image::Digest::of(&parts.manifest));
    assert_usable(&sample.store, &image);
}

#[test]
fn an_archive_that_names_nothing_needs_a_name() {
    let (sample, parts) = (Sample::new(), Parts::new());
    let bare_tag = json!({"org.opencontainers.image.ref.name": "v1"});
    let archive = parts
        .blobs()
        .json("index.json", &index(&parts.manifest, &bare_tag))
        .save(&sample);
    let error = sample.store.import(&archive, None).unwrap_err();
    assert!(matches!(error, Error::Unnamed { .. }), "{error}");
    sample
        .store
        .import(&archive, Some(&name("dev.local/fn")))
        .unwrap();
}

#[test]
fn several_images_cannot_all_get_one_name() {
    let (sample, parts) = (Sample::new(), Parts::new());
    let other_layer = layer("other");
    let other_config = config(&[&other_layer]);
    let other = manifest(&other_config, &[&other_layer]);
    let mut list = index(
        &parts.manifest,
        &json!({"io.containerd.image.name": "a.io/one:1"}),
    );
    let second = index(&other, &json!({"io.containerd.image.name": "a.io/two:1"}));
    let second = second["manifests"][0].clone();
    list["manifests"].as_array_mut().unwrap().push(second);
    let archive = parts
        .blobs()
        .blob(&other)
        .blob(&other_config)
        .blob(&other_layer)
        .json("index.json", &list)
        .save(&sample);
    let error = sample
        .store
        .import(&archive, Some(&name("a.io/x")))
        .unwrap_err();
    assert!(matches!(error, Error::Several { count: 2, .. }), "{error}");
    let names = sample.store.import(&archive, None).unwrap();
    assert_eq!(names, [name("a.io/one:1"), name("a.io/two:1")]);
}
