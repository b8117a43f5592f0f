//! Objects in memory alone: views of what runs, which are made anew when a node starts.
//!
//! Readers find them as they find those of the file: a [`Store`] with its own order of writes, its own watch log, and nobody
//! who writes to a disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::meta::whole_seconds;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::error;

use super::{
    Event, EventKind, Key, Object, Options, Store,
    log::Log,
    state::{Publisher, Shared, State},
    writer::Writer,
};

/// Less than for objects that clients write: whoever falls behind lists again, and these are many and short-lived.
const OPTIONS: Options = Options {
    log_events: 4096,
    log_bytes: 8 << 20,
};

/// A store without a file. Clones share it.
#[derive(Clone)]
pub struct Memory {
    store: Store,
    publisher: Arc<Mutex<Publisher>>,
}

impl Memory {
    /// An empty one. Its resourceVersions begin with the milliseconds since 1970, so that those of a predecessor are in the past
    /// of its successor and watches that carry on with them are told to list again.
    pub fn new(now: Timestamp) -> Self {
        let first = u64::try_from(now.as_millisecond()).unwrap_or(1).max(1);
        let log = Log::new(first, OPTIONS.log_events, OPTIONS.log_bytes);
        let (shared, publisher) = Shared::new(State::new([], log));
        Self {
            store: Store {
                shared,
                writer: Arc::new(Writer::none()),
            },
            publisher: Arc::new(Mutex::new(publisher)),
        }
    }

    /// For reading; it refuses writes as a closed store does.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Shows `object` under `key`, in place of what is shown there, and says whether it differs from that. A uid and a
    /// creationTimestamp that it does not name are those of what it replaces, or new ones.
    pub fn show(&self, key: &Key, mut object: Value) -> bool {
        let publisher = self.publisher();
        let (current, last) = {
            let state = publisher.shared().read();
            (state.get(key).cloned(), state.log.last())
        };
        let before = current.as_ref().map(Object::value);
        complete(key, &mut object, before.as_ref());
        if before.is_some_and(|before| same(&before, &object)) {
            return false;
        }
        object["metadata"]["resourceVersion"] = (last + 1).to_string().into();
        let object = match Object::from_value(key.clone(), &object) {
            Ok(object) => object,
            Err(error) => {
                error!(%error, %key, "cannot be shown");
                return false;
            }
        };
        publisher.publish([Event {
            kind: if current.is_some() {
                EventKind::Modified
            } else {
                EventKind::Added
            },
            object,
            previous: current,
        }]);
        true
    }

    /// Shows nothing under `key` any more, and says whether anything was.
    pub fn hide(&self, key: &Key) -> bool {
        let publisher = self.publisher();
        let (current, last) = {
            let state = publisher.shared().read();
            (state.get(key).cloned(), state.log.last())
        };
        let Some(current) = current else {
            return false;
        };
        let mut value = current.value();
        value["metadata"]["resourceVersion"] = (last + 1).to_string().into();
        let Ok(object) = Object::from_value(key.clone(), &value) else {
            return false;
        };
        publisher.publish([Event {
            kind: EventKind::Deleted,
            object,
            previous: Some(current),
        }]);
        true
    }

    fn publisher(&self) -> MutexGuard<'_, Publisher> {
        // A publication is whole or was not made.
        self.publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills in what every object carries.
fn complete(key: &Key, object: &mut Value, before: Option<&Value>) {
    if !object.is_object() {
        *object = json!({});
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    metadata.insert("name".into(), key.name().into());
    if !key.namespace().is_empty() {
        metadata.insert("namespace".into(), key.namespace().into());
    }
    let old = |field: &str| before.and_then(|it| it["metadata"].get(field)).cloned();
    let mut default = |field: &str, new: &dyn Fn() -> String| {
        if !metadata.contains_key(field) {
            let value = old(field).unwrap_or_else(|| new().into());
            metadata.insert(field.into(), value);
        }
    };
    default("uid", &|| uuid::Uuid::new_v4().to_string());
    default("creationTimestamp", &|| whole_seconds(Timestamp::now()));
}

/// Whether two versions of an object say the same.
fn same(before: &Value, after: &Value) -> bool {
    let fields = |object: &Value| -> (Map<String, Value>, Map<String, Value>) {
        let mut object = object.as_object().cloned().unwrap_or_default();
        let metadata = object.remove("metadata").unwrap_or_default();
        let mut metadata = metadata.as_object().cloned().unwrap_or_default();
        metadata.remove("resourceVersion");
        (metadata, object)
    };
    fields(before) == fields(after)
}

#[cfg(test)]
mod tests {
    use EventKind::{Added, Deleted, Modified};

    use super::*;
    use crate::store::Error;

    fn key(name: &str) -> Key {
        Key::new("pods", "default", name).unwrap()
    }

    fn pod(phase: &str) -> Value {
        json!({"metadata": {"labels": {"app": "a"}}, "status": {"phase": phase}})
    }

    #[tokio::test]
    async fn what_is_shown_comes_changes_and_goes_in_one_order() {
        let memory = Memory::new(Timestamp::now());
        let store = memory.store();
        let start = store.resource_version();
        assert!(memory.show(&key("a"), pod("Pending")));
        let first = store.get(&key("a")).unwrap().value();
        assert!(!memory.show(&key("a"), pod("Pending")), "no news");
        assert!(memory.show(&key("a"), pod("Running")));
        let second = store.get(&key("a")).unwrap().value();
        for field in ["uid", "creationTimestamp", "name", "namespace"] {
            assert_eq!(first["metadata"][field], second["metadata"][field]);
        }
        assert!(memory.hide(&key("a")));
        assert!(!memory.hide(&key("a")));
        let mut events = store.watch(Some("pods"), Some("default"), start).unwrap();
        let seen: Vec<_> = events
            .next()
            .await
            .unwrap()
            .into_iter()
            .map(|event| (event.kind, event.resource_version() - start))
            .collect();
        assert_eq!(seen, [(Added, 1), (Modified, 2), (Deleted, 3)]);
    }

    #[tokio::test]
    async fn what_an_object_says_of_its_own_birth_is_kept() {
        let memory = Memory::new(Timestamp::now());
        let born = json!({"metadata": {"uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z"}});
        memory.show(&key("a"), born.clone());
        let shown = memory.store().get(&key("a")).unwrap().value();
        for field in ["uid", "creationTimestamp"] {
            assert_eq!(shown["metadata"][field], born["metadata"][field]);
        }
    }

    #[tokio::test]
    async fn nobody_writes_to_it_as_to_a_file_and_a_predecessors_watch_has_to_list_again() {
        let memory = Memory::new(Timestamp::now());
        let refused = memory.store().create(&key("a"), pod("Running")).await;
        assert!(matches!(refused, Err(Error::Closed)));
        let past = memory.store().resource_version() - 1;
        let expired = memory.store().watch(None, None, past).err();
        assert!(matches!(expired, Some(Error::Expired { .. })));
    }
}
