//! Garbage collection: what belongs to an object goes with it, waits for it or is let go. [`plan`] decides, this does it.
//!
//! It knows owner references and finalizers, no kinds: what a kind needs beside this is its controller's.

mod plan;

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::plan::{Action, Facts};
use crate::store::{Change, Error, EventKind, Key, Preconditions, Store, Watch};

/// Collects until `shutdown`, or until the store is closed.
pub async fn collect(store: Store, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follow(&store) => {}
    }
}

async fn follow(store: &Store) {
    loop {
        let (mut objects, mut watch) = match load(store) {
            Ok(loaded) => loaded,
            Err(Error::Closed) => return,
            // The log ran away between the two; the next time it may not.
            Err(_) => continue,
        };
        loop {
            act(store, plan::plan(&objects)).await;
            match next(&mut watch, &mut objects).await {
                Ok(()) => {}
                Err(Error::Closed) => return,
                Err(error) => {
                    warn!(%error, "collection lost its place in the log, and looks at everything again");
                    break;
                }
            }
        }
    }
}

fn load(store: &Store) -> Result<(BTreeMap<Key, Facts>, Watch), Error> {
    let all = store.everything();
    let watch = store.watch(None, None, all.resource_version)?;
    let facts = all
        .objects
        .iter()
        .map(|object| (object.key().clone(), Facts::of(object)));
    Ok((facts.collect(), watch))
}

/// Waits until something that collection looks at has changed.
async fn next(watch: &mut Watch, objects: &mut BTreeMap<Key, Facts>) -> Result<(), Error> {
    let mut changed = false;
    while !changed {
        for event in watch.next().await? {
            let key = event.object.key();
            if event.kind == EventKind::Deleted {
                changed |= objects.remove(key).is_some();
                continue;
            }
            let facts = Facts::of(&event.object);
            if objects.get(key) != Some(&facts) {
                objects.insert(key.clone(), facts);
                changed = true;
            }
        }
    }
    Ok(())
}

async fn act(store: &Store, actions: Vec<(Key, Action)>) {
    for (key, action) in actions {
        debug!(object = %key, ?action, "collection");
        let written = match action {
            Action::Delete { uid, how } => {
                let uid = Some(uid);
                let preconditions = Preconditions {
                    uid,
                    ..Preconditions::default()
                };
                store
                    .write(&key, Change::Delete(preconditions, Some(how)))
                    .await
            }
            Action::Release { owners } => {
                let keep = |owner: &Value| {
                    let uid = owner["uid"].as_str().unwrap_or_default();
                    !owners.iter().any(|leaving| leaving == uid)
                };
                edit(store, &key, "ownerReferences", keep).await
            }
            Action::Unlock { finalizer } => {
                edit(store, &key, "finalizers", |held| held != finalizer).await
            }
        };
        match written {
            // Somebody else was faster; the event of that brings the object here again.
            Ok(_)
            | Err(Error::NotFound(_) | Error::Modified { .. } | Error::Precondition { .. }) => {}
            Err(error) => warn!(%error, object = %key, "collection cannot write"),
        }
    }
}

/// Writes an object with only those items of a list in its metadata that are to be kept.
async fn edit(
    store: &Store,
    key: &Key,
    list: &str,
    keep: impl Fn(&Value) -> bool,
) -> Result<crate::store::Written, Error> {
    let current = store.get(key).ok_or_else(|| Error::NotFound(key.clone()))?;
    let mut object = current.value();
    if let Some(items) = object["metadata"][list].as_array_mut() {
        items.retain(keep);
    }
    store.write(key, Change::Update(object)).await
}
