//! There and back.

use std::fs;
use std::sync::Mutex;

use image::registry::{Client, Error, Progress};
use image::{Image, Reference};

use super::server::Server;
use crate::samples::{Sample, assert_usable, files, noise};

pub(super) fn silent(_: Progress) {}

/// An image in a store and in the registry.
pub(super) async fn pushed(sample: &Sample, name: &Reference, content: &[u8]) -> Image {
    let image = sample.image(&name.to_string(), content);
    let digest = Client::default().push(&sample.store, name, &silent).await;
    assert_eq!(digest.unwrap(), image.digest);
    image
}

#[tokio::test]
async fn what_is_pushed_is_pulled_elsewhere_as_the_same_image() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let name = server.name("team/fn:v1");
    let image = pushed(&here, &name, &noise(3 << 20, 1)).await;

    let seen = Mutex::new(Vec::new());
    let progress = |progress: Progress| seen.lock().unwrap().push(progress);
    let pulled = Client::default()
        .pull(&there.store, &name, &progress)
        .await
        .unwrap();

    assert_eq!(pulled, image);
    assert_usable(&there.store, &pulled);
    assert!(there.unfinished().is_empty());
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by_key(|it| it.done), "{seen:?}");
    let last = seen.last().unwrap();
    assert_eq!(last.done, last.total);
    assert!(last.total > 3 << 20);
}

#[tokio::test]
async fn an_image_is_pulled_by_digest() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let image = pushed(&here, &server.name("fn:v1"), b"x").await;
    let by_digest = server.name("fn").with_digest(image.digest.clone());
    let pulled = Client::default()
        .pull(&there.store, &by_digest, &silent)
        .await
        .unwrap();
    assert_eq!(
        (&pulled.reference, &pulled.digest),
        (&by_digest, &image.digest)
    );
    assert_usable(&there.store, &pulled);
}

#[tokio::test]
async fn content_that_is_here_is_not_fetched() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let name = server.name("fn:v1");
    let image = pushed(&here, &name, b"x").await;
    Client::default()
        .pull(&there.store, &name, &silent)
        .await
        .unwrap();
    there.store.remove(&name).unwrap();
    fs::remove_file(server.blob(&image.layers[0])).unwrap();
    let again = Client::default()
        .pull(&there.store, &name, &silent)
        .await
        .unwrap();
    assert_usable(&there.store, &again);
}

#[tokio::test]
async fn a_pull_that_failed_keeps_what_it_got_for_the_next() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let name = server.name("fn:v1");
    let image = pushed(&here, &name, &noise(1 << 20, 2)).await;
    let layer = server.blob(&image.layers[0]);
    let content = fs::read(&layer).unwrap();
    fs::remove_file(&layer).unwrap();
    Client::default()
        .pull(&there.store, &name, &silent)
        .await
        .unwrap_err();
    // The configuration.
    assert_eq!(files(&there.images().join("blobs/sha256")).len(), 1);
    assert!(there.store.list().unwrap().is_empty());
    fs::write(&layer, content).unwrap();
    let pulled = Client::default()
        .pull(&there.store, &name, &silent)
        .await
        .unwrap();
    assert_usable(&there.store, &pulled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_image_can_be_pulled_several_times_at_once() {
    let (server, here, there) = (Server::start(), Sample::new(), Sample::new());
    let name = server.name("fn:v1");
    let image = pushed(&here, &name, &noise(1 << 20, 3)).await;
    let pulls = (0..4).map(|_| {
        let (store, name) = (there.open_again(), name.clone());
        tokio::spawn(async move { Client::default().pull(&store, &name, &silent).await })
    });
    for pull in pulls.collect::<Vec<_>>() {
        assert_eq!(pull.await.unwrap().unwrap(), image);
    }
    assert_usable(&there.store, &image);
}

#[tokio::test]
async fn a_second_push_sends_nothing_but_the_name() {
    let (server, sample) = (Server::start(), Sample::new());
    let image = pushed(&sample, &server.name("fn:v1"), b"x").await;
    let layer = server.blob(&image.layers[0]);
    let before = fs::metadata(&layer).unwrap().modified().unwrap();
    let again = server.name("fn:v2");
    sample.store.tag(&image.digest, &again).unwrap();
    let digest = Client::default()
        .push(&sample.store, &again, &silent)
        .await
        .unwrap();
    assert_eq!(digest, image.digest);
    assert_eq!(fs::metadata(&layer).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn what_is_not_here_or_has_no_tag_is_not_pushed() {
    let (server, sample) = (Server::start(), Sample::new());
    let push = async |name: &Reference| {
        let pushed = Client::default().push(&sample.store, name, &silent).await;
        pushed.unwrap_err()
    };
    let absent = push(&server.name("fn:v1")).await;
    assert!(
        matches!(absent, Error::Store(image::Error::UnknownReference { .. })),
        "{absent}"
    );
    let image = sample.image("dev.local/fn", b"x");
    let local = push(&image.reference).await;
    assert!(matches!(local, Error::LocalPush { .. }), "{local}");
    let untagged = push(&server.name("fn").with_digest(image.digest)).await;
    assert!(matches!(untagged, Error::NoTag { .. }), "{untagged}");
}
