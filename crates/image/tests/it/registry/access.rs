//! Everything that keeps an image from being pulled.

use std::fs;

use image::registry::{Client, Error};
use image::{Digest, Reference};

use super::server::{RIGHT, Server, WRONG};
use super::transfer::{pushed, silent};
use crate::samples::{Sample, assert_usable, name, noise};

/// Pulls what cannot be pulled; nothing must come of it.
async fn refused(client: &Client, name: &Reference) -> Error {
    let sample = Sample::new();
    let pulled = client.pull(&sample.store, name, &silent).await;
    let error = pulled.expect_err("it was pulled");
    assert_eq!(sample.store.resolve(name).unwrap(), None);
    assert!(sample.unfinished().is_empty());
    error
}

#[tokio::test]
async fn a_tag_and_a_repository_that_do_not_exist_are_not_found() {
    let (server, sample) = (Server::start(), Sample::new());
    pushed(&sample, &server.name("fn:v1"), b"x").await;
    let absent = server.name("fn").with_digest(Digest::of(b"absent"));
    for name in [server.name("fn:v2"), server.name("other:v1"), absent] {
        let error = refused(&Client::default(), &name).await;
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        assert!(error.to_string().contains(&name.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_password_is_needed_and_has_to_be_right() {
    let (server, here, there) = (Server::with_password(), Sample::new(), Sample::new());
    let name = server.name("fn:v1");
    let image = here.image(&name.to_string(), b"x");
    let right = server.client_with(RIGHT);

    let error = Client::default()
        .push(&here.store, &name, &silent)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LoginNeeded { .. }), "{error:?}");
    right.push(&here.store, &name, &silent).await.unwrap();

    let error = refused(&Client::default(), &name).await;
    assert!(matches!(error, Error::LoginNeeded { .. }), "{error:?}");
    assert!(
        error.to_string().contains("docker login 127.0.0.1"),
        "{error}"
    );
    let error = refused(&server.client_with(WRONG), &name).await;
    assert!(
        matches!(&error, Error::Unauthorized { user, .. } if user == "user"),
        "{error:?}"
    );
    assert_eq!(
        right.pull(&there.store, &name, &silent).await.unwrap(),
        image
    );
}

#[tokio::test]
async fn content_that_was_changed_on_the_server_is_refused() {
    let (server, sample) = (Server::start(), Sample::new());
    let name = server.name("fn:v1");
    let image = pushed(&sample, &name, &noise(300_000, 4)).await;
    let layer = server.blob(&image.layers[0]);
    let good = fs::read(&layer).unwrap();

    let mut flipped = good.clone();
    flipped[1000] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    let shorter = good[..good.len() - 1].to_vec();
    for bad in [flipped, longer, shorter] {
        fs::write(&layer, bad).unwrap();
        let error = refused(&Client::default(), &name).await;
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    }
    fs::write(&layer, good).unwrap();
    Client::default()
        .pull(&Sample::new().store, &name, &silent)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_manifest_that_was_changed_on_the_server_is_refused_where_the_digest_is_known() {
    let (server, sample) = (Server::start(), Sample::new());
    let image = pushed(&sample, &server.name("fn:v1"), b"x").await;
    let manifest = server.blob(&image.digest);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("zstd", "gzip")).unwrap();
    let by_digest = server.name("fn").with_digest(image.digest);
    let error = refused(&Client::default(), &by_digest).await;
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_registry_that_is_down_is_unreachable() {
    let server = Server::start();
    let name = server.name("fn:v1");
    drop(server);
    let error = refused(&Client::default(), &name).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(name.registry()), "{error}");
}

#[tokio::test]
async fn local_names_are_never_pulled() {
    for text in ["dev.local/fn", "ko.local/fn:v1", "localhost/fn"] {
        let error = refused(&Client::default(), &name(text)).await;
        assert!(matches!(error, Error::Local { .. }), "{error:?}");
        assert!(error.to_string().contains("vhive image import"), "{error}");
    }
}

#[tokio::test]
async fn an_image_that_is_here_outlives_its_registry() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let name = server.name("fn:v1");
    pushed(&here, &name, b"x").await;
    let image = Client::default()
        .pull(&there.store, &name, &silent)
        .await
        .unwrap();
    drop(server);
    assert_usable(&there.store, &image);
}
