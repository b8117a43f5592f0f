//! Root file systems.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Barrier;
use std::thread;

use image::{Error, Limits};

use crate::samples::{Sample, files, noise};

#[test]
fn a_root_is_made_once_however_many_ask_at_once() {
    let sample = Sample::new();
    let image = sample.image("a.io/fn", &noise(2 << 20, 1));
    let stores: Vec<_> = (0..8).map(|_| sample.open_again()).collect();
    let barrier = Barrier::new(stores.len());
    let ask = |store: &image::Store| {
        barrier.wait();
        let root = store.root(&image, &Limits::default()).unwrap();
        // A second one would have taken the place of the first, as another file.
        (fs::metadata(&root.path).unwrap().ino(), root.digest)
    };
    let roots: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = stores
            .iter()
            .map(|store| scope.spawn(|| ask(store)))
            .collect();
        asking.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
    assert_eq!(files(&sample.images().join("roots")).len(), 1);
    assert!(sample.unfinished().is_empty());
}

#[test]
fn images_of_the_same_layers_share_a_root_and_others_do_not() {
    let sample = Sample::new();
    let (one, same) = (
        sample.image("a.io/one", b"x"),
        sample.image("a.io/same", b"x"),
    );
    let other = sample.image("a.io/other", b"y");
    let root = |image| sample.store.root(image, &Limits::default()).unwrap();
    assert_eq!(root(&one).path, root(&same).path);
    assert_ne!(root(&one).digest, root(&other).digest);
}

#[test]
fn a_root_that_is_refused_leaves_nothing_and_can_be_made_later() {
    let sample = Sample::new();
    let image = sample.image("a.io/fn", &[7; 4096]);
    let tight = Limits {
        max_unpacked_bytes: 100,
        ..Limits::default()
    };
    let refused = sample.store.root(&image, &tight);
    assert!(matches!(refused, Err(Error::Root { .. })), "{refused:?}");
    assert!(files(&sample.images().join("roots")).is_empty());
    assert!(sample.unfinished().is_empty());
    sample.store.root(&image, &Limits::default()).unwrap();
}
