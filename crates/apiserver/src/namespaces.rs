//! Namespaces: those that are always there, and the end of one, which is the end of all that is in it.
//!
//! ```text
//!   Active ─── deleted ───► Terminating: nothing new comes in ───► what is in it is deleted ───► nothing is: gone
//! ```

use std::{collections::BTreeSet, time::Duration};

use api::{
    core::{FINALIZER, Namespace},
    resource::NAMESPACES,
};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::store::{
    Change, Error, EventKind, Key, Object, Preconditions, Propagation, Store, Watch,
};

/// Namespaces that are made at a start and cannot be deleted: where clients look when they are told nothing, and where those of
/// Knative and of Kubernetes look for what those keep for themselves.
const PERMANENT: [&str; 3] = ["default", "knative-serving", "kube-system"];

/// Objects that are deleted at the same time: the store puts what waits into one transaction.
const AT_ONCE: usize = 64;
/// What could not be written is tried again after this.
const RETRY: Duration = Duration::from_secs(10);

/// Whether a namespace may not be deleted.
pub(crate) fn is_permanent(name: &str) -> bool {
    PERMANENT.contains(&name)
}

/// Makes the namespaces that are always there, and those that objects are in: stores are older than namespaces.
///
/// # Errors
/// As [`Store::write`].
pub async fn ensure(store: &Store) -> Result<(), Error> {
    let stored = store.everything().objects;
    let used = stored.iter().map(|object| object.key().namespace());
    let names: BTreeSet<&str> = used
        .filter(|name| !name.is_empty())
        .chain(PERMANENT)
        .collect();
    for name in names {
        let Some(key) = key(name).filter(|key| store.get(key).is_none()) else {
            continue;
        };
        match store.create(&key, new(name)).await {
            Ok(_) => debug!(name, "made a namespace"),
            Err(Error::AlreadyExists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Deletes what is in namespaces that are being deleted, and then lets those go, until `shutdown` or until the store is closed.
pub async fn empty(store: Store, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follow(&store) => {}
    }
}

async fn follow(store: &Store) {
    loop {
        let mut watch = match store.watch(None, None, store.resource_version()) {
            Ok(watch) => watch,
            Err(Error::Closed) => return,
            // The log ran away between the two; the next time it may not.
            Err(_) => continue,
        };
        loop {
            let leaving = leaving(store);
            let mut failed = false;
            for namespace in &leaving {
                failed |= act(store, namespace).await.is_err();
            }
            let next = next(&mut watch, &leaving);
            let next = if failed {
                // No event tells that a disk has room again.
                timeout(RETRY, next).await
            } else {
                Ok(next.await)
            };
            match next {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(Error::Closed)) => return,
                Ok(Err(error)) => {
                    warn!(%error, "namespaces lost their place in the log, and are all looked at again");
                    break;
                }
            }
        }
    }
}

/// Names of the namespaces that are being deleted.
fn leaving(store: &Store) -> BTreeSet<String> {
    let namespaces = store.list(&NAMESPACES.qualified(), None).objects;
    namespaces
        .iter()
        .filter(|namespace| is_leaving(&namespace.value()))
        .map(|namespace| namespace.key().name().to_owned())
        .collect()
}

/// Waits until something has happened to one of them, or to any namespace.
async fn next(watch: &mut Watch, leaving: &BTreeSet<String>) -> Result<(), Error> {
    loop {
        let concerned = watch.next().await?.iter().any(|event| {
            let key = event.object.key();
            leaving.contains(key.namespace())
                || key.resource() == NAMESPACES.qualified() && event.kind != EventKind::Deleted
        });
        if concerned {
            return Ok(());
        }
    }
}

/// Takes a namespace one step on; an error if there is something that could not be written.
async fn act(store: &Store, namespace: &str) -> Result<(), Error> {
    let inside = store.everything().objects.into_iter();
    let inside: Vec<(Object, Value)> = inside
        .filter(|object| object.key().namespace() == namespace)
        .map(|object| (object.clone(), object.value()))
        .collect();
    if inside.is_empty() {
        return release(store, namespace).await;
    }
    let (owned, owners): (Vec<_>, Vec<_>) = inside
        .into_iter()
        .filter(|(_, value)| !is_leaving(value))
        .partition(|(_, value)| !value["metadata"]["ownerReferences"].is_null());
    // What others are made from goes first, so that nobody makes them again.
    let mut result = Ok(());
    for objects in [owners, owned] {
        let deletions = objects
            .into_iter()
            .map(|(object, value)| delete(store, object, value));
        let mut deletions = stream::iter(deletions).buffer_unordered(AT_ONCE);
        while let Some(deleted) = deletions.next().await {
            result = result.and(deleted);
        }
    }
    result
}

/// Deletes an object with its namespace.
async fn delete(store: &Store, object: Object, value: Value) -> Result<(), Error> {
    let preconditions = Preconditions {
        uid: value["metadata"]["uid"].as_str().map(str::to_owned),
        ..Preconditions::default()
    };
    let change = Change::Delete(preconditions, Some(Propagation::Background));
    match store.write(object.key(), change).await {
        // Somebody else was faster.
        Ok(_) | Err(Error::NotFound(_) | Error::Precondition { .. }) => Ok(()),
        Err(error) => {
            warn!(%error, object = %object.key(), "cannot be deleted with its namespace");
            Err(error)
        }
    }
}

/// Takes the finalizer from a namespace that has nothing in it.
async fn release(store: &Store, name: &str) -> Result<(), Error> {
    let Some(namespace) = key(name).and_then(|key| store.get(&key)) else {
        return Ok(());
    };
    let mut value = namespace.value();
    if let Some(finalizers) = value["spec"]["finalizers"].as_array_mut() {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    match store.update(namespace.key(), value).await {
        Ok(_) => info!(namespace = name, "emptied a namespace"),
        // The event of what was faster comes here.
        Err(Error::NotFound(_) | Error::Modified { .. }) => {}
        Err(error) => {
            warn!(%error, namespace = name, "an empty namespace cannot be let go");
            return Err(error);
        }
    }
    Ok(())
}

fn is_leaving(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn key(name: &str) -> Option<Key> {
    Key::new(&NAMESPACES.qualified(), "", name)
}

/// A namespace as it is stored first.
fn new(name: &str) -> Value {
    let mut namespace = Namespace {
        api_version: NAMESPACES.api_version(),
        kind: NAMESPACES.kind.to_owned(),
        ..Namespace::default()
    };
    name.clone_into(&mut namespace.metadata.name);
    namespace.complete(None);
    serde_json::to_value(namespace).unwrap_or_else(|_| json!({}))
}
