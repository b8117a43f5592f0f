//! Kinds of manifests.

use image::registry::{Client, Error};
use image::{Digest, Image};
use serde_json::{Value, json};

use super::server::Server;
use super::transfer::{pushed, silent};
use crate::samples::{Sample, assert_usable};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn read_manifest(sample: &Sample, image: &Image) -> Value {
    serde_json::from_slice(&std::fs::read(sample.blob(&image.digest)).unwrap()).unwrap()
}

fn entry(sample: &Sample, image: &Image, architecture: &str) -> Value {
    json!({
        "mediaType": OCI_MANIFEST,
        "digest": image.digest,
        "size": std::fs::metadata(sample.blob(&image.digest)).unwrap().len(),
        "platform": {"os": "linux", "architecture": architecture},
    })
}

#[tokio::test]
async fn the_image_for_our_platform_is_pulled_from_an_index() {
    let (server, here) = (Server::start(), Sample::new());
    let other = pushed(&here, &server.name("fn:other"), b"other").await;
    let ours = pushed(&here, &server.name("fn:ours"), b"ours").await;
    let manifests = [entry(&here, &other, "arm64"), entry(&here, &ours, "amd64")];
    for media_type in [OCI_INDEX, DOCKER_LIST] {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": manifests,
        })
        .to_string();
        server.put_manifest("fn:all", media_type, &index);
        let index_digest = Digest::of(index.as_bytes());
        let by_digest = server.name("fn").with_digest(index_digest);
        for name in [server.name("fn:all"), by_digest] {
            let there = Sample::new();
            let image = Client::default()
                .pull(&there.store, &name, &silent)
                .await
                .unwrap();
            assert_eq!(image.digest, ours.digest);
            // By the name it was asked for, though that is the index's.
            assert_usable(&there.store, &image);
        }
    }
}

#[tokio::test]
async fn an_index_without_our_platform_says_which_it_has() {
    let (server, here) = (Server::start(), Sample::new());
    let other = pushed(&here, &server.name("fn:other"), b"other").await;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [entry(&here, &other, "riscv64")],
    });
    server.put_manifest("fn:all", OCI_INDEX, &index.to_string());
    let pulled = Client::default()
        .pull(&here.store, &server.name("fn:all"), &silent)
        .await;
    match pulled {
        Err(Error::Document { source, .. }) => {
            assert!(source.to_string().contains("linux/riscv64"), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_manifest_of_docker_is_pulled_and_pushed_as_it_is() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let image = pushed(&here, &server.name("fn:oci"), b"x").await;
    let mut manifest = read_manifest(&here, &image);
    manifest["mediaType"] = json!(DOCKER_MANIFEST);
    manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
    manifest["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar.gzip");
    let text = manifest.to_string();
    server.put_manifest("fn:docker", DOCKER_MANIFEST, &text);

    let name = server.name("fn:docker");
    let pulled = Client::default()
        .pull(&there.store, &name, &silent)
        .await
        .unwrap();

    assert_eq!(pulled.digest, Digest::of(text.as_bytes()));
    // The media type of the layer is wrong; its content is believed.
    assert_usable(&there.store, &pulled);
    let copy = server.name("copy:v1");
    there.store.tag(&pulled.digest, &copy).unwrap();
    let digest = Client::default()
        .push(&there.store, &copy, &silent)
        .await
        .unwrap();
    assert_eq!(digest, pulled.digest);
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let image = pushed(&here, &server.name("fn:v1"), b"x").await;
    let mut manifest = read_manifest(&here, &image);
    manifest["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
    server.put_manifest("fn:chart", OCI_MANIFEST, &manifest.to_string());
    let name = server.name("fn:chart");
    let error = Client::default()
        .pull(&there.store, &name, &silent)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Document { .. }), "{error:?}");
}
