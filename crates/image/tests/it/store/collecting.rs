//! Removal of what is not needed, and of nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use image::{Limits, Store};

use crate::samples::{Sample, assert_usable, files, image, name};

#[test]
fn what_a_reference_needs_stays_and_the_rest_goes() {
    let sample = Sample::new();
    let kept = sample.image("a.io/kept", b"kept");
    let gone = sample.image("a.io/gone", b"gone");
    for image in [&kept, &gone] {
        sample.store.root(image, &Limits::default()).unwrap();
    }
    assert_eq!(sample.store.gc().unwrap(), 0);
    sample.store.remove(&gone.reference).unwrap();

    assert!(sample.store.gc().unwrap() > 0);

    assert_usable(&sample.store, &kept);
    assert!(sample.blob(&kept.layers[0]).exists());
    assert!(!sample.blob(&gone.layers[0]).exists());
    assert!(!sample.blob(&gone.digest).exists());
    assert_eq!(files(&sample.images().join("roots")).len(), 1);
}

#[test]
fn content_that_two_images_share_goes_with_the_last_of_them() {
    let sample = Sample::new();
    let image = sample.image("a.io/one", b"x");
    sample.store.tag(&image.digest, &name("a.io/two")).unwrap();
    sample.store.remove(&image.reference).unwrap();
    assert_eq!(sample.store.gc().unwrap(), 0);
    sample.store.remove(&name("a.io/two")).unwrap();
    assert!(sample.store.gc().unwrap() > 0);
    assert!(files(&sample.images().join("blobs/sha256")).is_empty());
}

#[test]
fn a_root_stays_while_any_process_holds_it() {
    let sample = Sample::new();
    let image = sample.image("a.io/fn", b"x");
    let first = sample.store.root(&image, &Limits::default()).unwrap();
    let second = sample
        .open_again()
        .root(&image, &Limits::default())
        .unwrap();
    sample.store.remove(&image.reference).unwrap();
    for holder in [first, second] {
        sample.open_again().gc().unwrap();
        assert!(holder.path.exists());
    }
    sample.store.gc().unwrap();
    assert!(files(&sample.images().join("roots")).is_empty());
}

#[test]
fn images_that_are_added_meanwhile_are_whole() {
    let sample = Sample::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let collector = sample.open_again();
        let done = &done;
        let collecting = scope.spawn(move || {
            let mut turns = 0;
            while !done.load(Ordering::Relaxed) {
                collector.gc().unwrap();
                turns += 1;
            }
            turns
        });
        let add = |store: Store, writer: usize| {
            for turn in 0..8 {
                let name = format!("a.io/fn:w{writer}-{turn}");
                // Half of them are the same image, which the others take away again.
                let content = format!("{}", turn % 2 * (1 + writer));
                let image = image(&store, &name, content.as_bytes());
                assert_usable(&store, &image);
                store.remove(&image.reference).unwrap();
            }
            image(&store, &format!("a.io/last:w{writer}"), b"last")
        };
        let adding: Vec<_> = (0..3)
            .map(|writer| {
                let store = sample.open_again();
                scope.spawn(move || add(store, writer))
            })
            .collect();
        let last: Vec<_> = adding.into_iter().map(ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(collecting.join().unwrap() > 0);
        for image in last {
            assert_usable(&sample.store, &image.unwrap());
        }
    });
    assert_eq!(sample.store.list().unwrap().len(), 3);
}

#[test]
fn what_a_crash_left_goes_when_the_store_is_opened() {
    let sample = Sample::new();
    let tmp = sample.images().join("tmp");
    let left = tmp.join("session-dead");
    std::fs::create_dir_all(left.join("stage")).unwrap();
    std::fs::write(left.join("lock"), b"").unwrap();
    std::fs::write(left.join("stage/half"), b"half a layer").unwrap();
    std::fs::write(tmp.join("stray"), b"").unwrap();
    let image = sample.image("a.io/fn", b"x");

    let second = sample.open_again();

    // The sessions of the two stores that are open.
    assert!(!left.exists());
    assert_eq!(files(&tmp).len(), 2);
    assert_usable(&second, &image);
    assert_usable(&sample.store, &image);
    drop(second);
    assert_eq!(files(&tmp).len(), 1);
}

#[test]
fn stores_are_opened_and_closed_while_others_are_too() {
    let sample = Sample::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    sample.open_again().gc().unwrap();
                }
            });
        }
    });
    assert_eq!(files(&sample.images().join("tmp")).len(), 1);
}
