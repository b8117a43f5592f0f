//! Garbage collection: what belongs to an object goes with it, waits for it or is let go. [`plan`] decides, this does it.
//!
//! It knows owner references and finalizers, no kinds: what a kind needs beside this is its controller's.

mod graph;
mod plan;

use std::future::pending;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::graph::{Facts, Graph};
use self::plan::{Action, Fate};
use crate::store::{
    Change, Error, Event, EventKind, Key, Preconditions, Propagation, Store, Watch, Written,
};

/// Objects that are written to at the same time: the store puts what waits into one transaction.
const AT_ONCE: usize = 64;
/// Pause after the store refused a write for a reason that is not that somebody else was faster.
const RETRY: Duration = Duration::from_millis(500);

/// Collects until `shutdown`, or until the store is closed.
pub async fn collect(store: Store, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follow(&store) => {}
    }
}

async fn follow(store: &Store) {
    loop {
        let (mut graph, mut watch) = match load(store) {
            Ok(loaded) => loaded,
            Err(Error::Closed) => return,
            // The log ran away between the two; the next time it may not.
            Err(_) => continue,
        };
        loop {
            let refused = act(store, plan::plan(&mut graph)).await;
            let retry = (!refused.is_empty()).then(|| Instant::now() + RETRY);
            let events = tokio::select! {
                events = watch.next() => events,
                () = until(retry) => Ok(Vec::new()),
            };
            for key in refused {
                graph.touch(key);
            }
            match events {
                Ok(events) => note(&mut graph, &events),
                Err(Error::Closed) => return,
                Err(error) => {
                    warn!(%error, "collection lost its place in the log, and looks at everything again");
                    break;
                }
            }
        }
    }
}

/// Waits until `time`; for ever if there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

fn load(store: &Store) -> Result<(Graph, Watch), Error> {
    let all = store.everything();
    let watch = store.watch(None, None, all.resource_version)?;
    let mut graph = Graph::default();
    for object in &all.objects {
        graph.put(object.key(), Facts::of(object));
    }
    Ok((graph, watch))
}

fn note(graph: &mut Graph, events: &[Event]) {
    for event in events {
        let key = event.object.key();
        match event.kind {
            EventKind::Deleted => graph.remove(key),
            EventKind::Added | EventKind::Modified => graph.put(key, Facts::of(&event.object)),
        }
    }
}

/// Does it, and says of which objects it was refused.
async fn act(store: &Store, fates: Vec<Fate>) -> Vec<Key> {
    let done = stream::iter(fates).map(|fate| async move {
        let refused = fulfil(store, &fate).await.is_err();
        refused.then_some(fate.key)
    });
    let refused = done.buffer_unordered(AT_ONCE);
    refused.filter_map(std::future::ready).collect().await
}

async fn fulfil(store: &Store, fate: &Fate) -> Result<(), Error> {
    let Fate { key, uid, actions } = fate;
    for action in actions {
        debug!(object = %key, ?action, "collection");
        let written = match action {
            Action::Delete(how) => delete(store, key, uid, *how).await,
            Action::Release { owners } => {
                let keep = |owner: &Value| {
                    let uid = owner["uid"].as_str().unwrap_or_default();
                    !owners.iter().any(|leaving| leaving == uid)
                };
                edit(store, key, uid, "ownerReferences", keep).await
            }
            Action::Unlock { finalizer } => {
                edit(store, key, uid, "finalizers", |held| held != finalizer).await
            }
        };
        match written {
            // It is gone, or another by now; the event of that has it looked at again.
            Ok(_) | Err(Error::NotFound(_) | Error::Precondition { .. }) => {}
            Err(error) => {
                warn!(%error, object = %key, "collection cannot write");
                return Err(error);
            }
        }
    }
    Ok(())
}

async fn delete(store: &Store, key: &Key, uid: &str, how: Propagation) -> Result<Written, Error> {
    let preconditions = Preconditions {
        uid: Some(uid.to_owned()),
        ..Preconditions::default()
    };
    let change = Change::Delete(preconditions, Some(how));
    store.write(key, change).await
}

/// Writes an object with only those items of a list in its metadata that are to be kept. Somebody who writes something else of it
/// meanwhile, a status say, tells nothing that collection looks at: so it is for this to try again.
async fn edit(
    store: &Store,
    key: &Key,
    uid: &str,
    list: &str,
    keep: impl Fn(&Value) -> bool,
) -> Result<Written, Error> {
    loop {
        let current = store.get(key).ok_or_else(|| Error::NotFound(key.clone()))?;
        let mut object = current.value();
        object["metadata"]["uid"] = uid.into();
        if let Some(items) = object["metadata"][list].as_array_mut() {
            items.retain(&keep);
        }
        match store.write(key, Change::Update(object)).await {
            Err(Error::Modified { .. }) => {}
            written => return written,
        }
    }
}
