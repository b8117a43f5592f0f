//! Watches miss nothing, repeat nothing, and hold nobody up.

use std::collections::BTreeMap;

use apiserver::{
    Store,
    store::{Error, EventKind, Key, Options, Preconditions},
};
use serde_json::Value;

use crate::store::{key, thing};

fn open(options: Options) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with(&folder.path().join("store.redb"), options).unwrap();
    (folder, store)
}

/// Creates, updates and deletes a few objects of its own; returns when all is done.
async fn churn(store: Store, writer: usize, rounds: usize) {
    for round in 0..rounds {
        let name = format!("w{writer}-{}", round % 3);
        let key = key(&name);
        match round % 4 {
            3 => drop(store.delete(&key, Preconditions::default()).await),
            _ if store.get(&key).is_some() => {
                drop(
                    store
                        .update(&key, thing(&name, round as u64))
                        .await
                        .unwrap(),
                );
            }
            _ => drop(
                store
                    .create(&key, thing(&name, round as u64))
                    .await
                    .unwrap(),
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_watcher_sees_every_version_once_in_order_while_many_write() {
    let (_folder, store) = open(Options::default());
    let start = store.resource_version();
    let writers: Vec<_> = (0..8)
        .map(|writer| tokio::spawn(churn(store.clone(), writer, 60)))
        .collect();
    let (finished, end) = tokio::sync::watch::channel(None);
    let watchers: Vec<_> = (0..16)
        .map(|watcher| {
            let (store, mut end) = (store.clone(), end.clone());
            tokio::spawn(async move {
                // Half of them come late and replay; each reads in pieces of its own.
                let mut watch = store.watch(None, None, start).unwrap();
                if watcher % 2 == 0 {
                    end.wait_for(Option::is_some).await.unwrap();
                }
                let mut seen = Vec::new();
                let mut objects: BTreeMap<Key, Value> = BTreeMap::new();
                loop {
                    if let Some(end) = *end.borrow()
                        && watch.position() == end
                    {
                        return (seen, objects);
                    }
                    let events = tokio::select! {
                        events = watch.next() => events.unwrap(),
                        _ = end.changed() => continue,
                    };
                    for event in events {
                        seen.push(event.resource_version());
                        let key = event.object.key().clone();
                        match event.kind {
                            EventKind::Added => {
                                assert!(objects.insert(key, event.object.value()).is_none());
                            }
                            EventKind::Modified => {
                                assert!(objects.insert(key, event.object.value()).is_some());
                            }
                            EventKind::Deleted => assert!(objects.remove(&key).is_some()),
                        }
                    }
                    // A re-watch from the last version goes on where the old one stopped.
                    if watcher % 3 == 0 {
                        watch = store.watch(None, None, watch.position()).unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let last = store.resource_version();
    finished.send_replace(Some(last));
    let now: BTreeMap<Key, Value> = store
        .list("things.example.com", None)
        .objects
        .iter()
        .map(|object| (object.key().clone(), object.value()))
        .collect();
    for watcher in watchers {
        let (seen, objects) = watcher.await.unwrap();
        assert_eq!(seen, (start + 1..=last).collect::<Vec<_>>());
        assert_eq!(objects, now);
    }
}

#[tokio::test]
async fn a_watch_from_before_the_log_is_expired_and_one_from_the_future_is_refused() {
    let (_folder, store) = open(Options {
        log_events: 2,
        ..Options::default()
    });
    let start = store.resource_version();
    for name in ["a", "b", "c"] {
        store.create(&key(name), thing(name, 1)).await.unwrap();
    }
    assert!(matches!(
        store.watch(None, None, start),
        Err(Error::Expired { .. })
    ));
    assert!(matches!(
        store.watch(None, None, start + 4),
        Err(Error::Future { .. })
    ));
    let events = store
        .watch(None, None, start + 1)
        .unwrap()
        .next()
        .await
        .unwrap();
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn a_watcher_that_falls_behind_is_told_so_and_nobody_waited_for_it() {
    let (_folder, store) = open(Options {
        log_events: 4,
        ..Options::default()
    });
    let mut slow = store.watch(None, None, store.resource_version()).unwrap();
    for round in 0..10 {
        let name = format!("n{round}");
        store.create(&key(&name), thing(&name, 1)).await.unwrap();
    }
    assert!(matches!(slow.next().await, Err(Error::Expired { .. })));
}

#[tokio::test]
async fn a_watch_of_one_namespace_hears_of_no_other_but_moves_on() {
    let (_folder, store) = open(Options::default());
    let mut watch = store
        .watch(
            Some("things.example.com"),
            Some("other"),
            store.resource_version(),
        )
        .unwrap();
    store.create(&key("a"), thing("a", 1)).await.unwrap();
    let elsewhere = Key::new("things.example.com", "other", "b").unwrap();
    let object = store.create(&elsewhere, thing("b", 1)).await.unwrap();
    let events = watch.next().await.unwrap();
    assert_eq!(
        events
            .iter()
            .map(|event| event.object.key().name())
            .collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(watch.position(), object.resource_version());
}

#[tokio::test]
async fn watches_end_with_the_store() {
    let (_folder, store) = open(Options::default());
    let mut watch = store.watch(None, None, store.resource_version()).unwrap();
    drop(store);
    assert!(matches!(watch.next().await, Err(Error::Closed)));
}
