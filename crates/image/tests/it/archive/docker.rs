//! What `docker save` writes.

use std::io::Write as _;

use image::{Digest, Image};
use serde_json::json;

use super::maker::{Maker, Parts, index, save};
use crate::samples::{Sample, assert_usable, name};

fn only_image(sample: &Sample) -> Image {
    let list = sample.store.list().unwrap();
    assert_eq!(list.len(), 1, "{list:?}");
    sample.store.resolve(&list[0].reference).unwrap().unwrap()
}

/// As versions before 25 write it: a folder per layer, and links where images share layers.
fn old_layout(parts: &Parts) -> Maker {
    let config = format!("{}.json", Digest::of(&parts.config).hex());
    Maker::new()
        .folder("one/")
        .file("one/VERSION", "1.0")
        .file("one/json", "{}")
        .symlink("one/layer.tar", "../shared/layer.tar")
        .folder("shared/")
        .file("shared/layer.tar", &parts.layers[0])
        .file("two/layer.tar", &parts.layers[1])
        .file(&config, &parts.config)
        .json(
            "manifest.json",
            &json!([{
                "Config": config,
                "RepoTags": ["vhive/hello:v1", "localhost:5000/hello:v1"],
                "Layers": ["one/layer.tar", "two/layer.tar"],
            }]),
        )
        .json("repositories", &json!({"vhive/hello": {"v1": "two"}}))
}

#[test]
fn the_old_layout_is_imported_under_all_its_names() {
    let (sample, parts) = (Sample::new(), Parts::new());
    let archive = old_layout(&parts).save(&sample);
    let names = sample.store.import(&archive, None).unwrap();
    assert_eq!(
        names,
        [
            name("docker.io/vhive/hello:v1"),
            name("localhost:5000/hello:v1")
        ]
    );
    for name in names {
        let image = sample.store.resolve(&name).unwrap().unwrap();
        let layers: Vec<_> = parts.layers.iter().map(|layer| Digest::of(layer)).collect();
        assert_eq!(image.layers, layers);
        assert_eq!(image.config.cmd, ["/run"]);
        assert_usable(&sample.store, &image);
    }
}

#[test]
fn the_newer_layout_is_imported_with_the_digest_that_docker_gave_it() {
    let (sample, parts) = (Sample::new(), Parts::new());
    let blob = |content: &[u8]| format!("blobs/sha256/{}", Digest::of(content).hex());
    let archive = parts
        .blobs()
        .json(
            "index.json",
            &index(
                &parts.manifest,
                &json!({
                    "io.containerd.image.name": "docker.io/vhive/hello:v2",
                    "org.opencontainers.image.ref.name": "v2",
                }),
            ),
        )
        .json(
            "manifest.json",
            &json!([{
                "Config": blob(&parts.config),
                "RepoTags": ["vhive/hello:v2"],
                "Layers": parts.layers.iter().map(|it| blob(it)).collect::<Vec<_>>(),
            }]),
        )
        .save(&sample);
    let names = sample.store.import(&archive, None).unwrap();
    assert_eq!(names, [name("docker.io/vhive/hello:v2")]);
    let image = only_image(&sample);
    assert_eq!(image.digest, Digest::of(&parts.manifest));
    assert_usable(&sample.store, &image);
}

#[test]
fn a_layout_without_names_takes_those_of_manifest_json() {
    let (sample, parts) = (Sample::new(), Parts::new());
    let blob = |content: &[u8]| format!("blobs/sha256/{}", Digest::of(content).hex());
    let archive = parts
        .blobs()
        .json("index.json", &index(&parts.manifest, &json!(null)))
        .json(
            "manifest.json",
            &json!([{"Config": blob(&parts.config), "RepoTags": ["hello"], "Layers": []}]),
        )
        .save(&sample);
    let names = sample.store.import(&archive, None).unwrap();
    assert_eq!(names, [name("docker.io/library/hello:latest")]);
}

#[test]
fn compression_is_told_by_content() {
    let parts = Parts::new();
    let plain = old_layout(&parts).bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for bytes in [gzip.finish().unwrap(), zstd] {
        let sample = Sample::new();
        let archive = save(&sample, &bytes);
        let given = name("dev.local/hello");
        let names = sample.store.import(&archive, Some(&given)).unwrap();
        assert_eq!(names, [given]);
        assert_usable(&sample.store, &only_image(&sample));
    }
}
