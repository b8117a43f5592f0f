//! What is in memory: every object, and the watch log. Readers take the lock for a copy of pointers; nobody holds it
//! across I/O.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use tokio::sync::watch;

use super::{Error, Event, EventKind, Key, Object, key::prefix, log::Log};

pub(super) struct State {
    objects: BTreeMap<Key, Object>,
    pub(super) log: Log,
}

impl State {
    pub(super) fn new(objects: impl IntoIterator<Item = Object>, log: Log) -> Self {
        let objects = objects
            .into_iter()
            .map(|object| (object.key().clone(), object))
            .collect();
        Self { objects, log }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Objects in the order of their keys.
    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Object> {
        let prefix = prefix(resource, namespace);
        self.objects
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
            .take_while(|(key, _)| key.as_str().starts_with(&prefix))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Objects as they were at `at`: what happened since is taken back, the latest first.
    pub(super) fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        at: u64,
    ) -> Result<Vec<Object>, Error> {
        let current = self.log.last();
        if at > current {
            return Err(Error::Future {
                wanted: at,
                current,
            });
        }
        let Some(since) = self.log.since(at) else {
            return Err(Error::Expired {
                wanted: at,
                oldest: self.log.oldest(),
            });
        };
        let prefix = prefix(resource, namespace);
        let mut objects: BTreeMap<Key, Object> = self
            .list(resource, namespace)
            .into_iter()
            .map(|object| (object.key().clone(), object))
            .collect();
        for event in since.rev() {
            let key = event.object.key();
            if !key.as_str().starts_with(&prefix) {
                continue;
            }
            match &event.previous {
                Some(previous) => objects.insert(key.clone(), previous.clone()),
                None => objects.remove(key),
            };
        }
        Ok(objects.into_values().collect())
    }

    pub(super) fn everything(&self) -> Vec<Object> {
        self.objects.values().cloned().collect()
    }

    pub(super) fn count(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for key in self.objects.keys() {
            match count.get_mut(key.resource()) {
                Some(count) => *count += 1,
                None => drop(count.insert(key.resource().to_owned(), 1)),
            }
        }
        count
    }

    fn apply(&mut self, event: Event) {
        let object = event.object.clone();
        match event.kind {
            EventKind::Added | EventKind::Modified => {
                self.objects.insert(object.key().clone(), object);
            }
            EventKind::Deleted => {
                self.objects.remove(object.key());
            }
        }
        self.log.push(event);
    }
}

/// The ordering of keys and of their text is the same.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// The state, and the bell that rings when it moves.
pub(super) struct Shared {
    state: RwLock<State>,
    bell: watch::Receiver<u64>,
}

/// The writer's end: with it goes the last hope of an event, and watches end.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    bell: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(state: State) -> (Arc<Self>, Publisher) {
        let (ring, bell) = watch::channel(state.log.last());
        let state = RwLock::new(state);
        let shared = Arc::new(Self { state, bell });
        let publisher = Publisher {
            shared: shared.clone(),
            bell: ring,
        };
        (shared, publisher)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        // Only `publish` writes, and it does not stop half way: a poisoned state is whole.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.clone()
    }
}

impl Publisher {
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Makes writes visible, which are on disk by now, and wakes the watchers.
    pub(super) fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let mut state = self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for event in events {
            state.apply(event);
        }
        let last = state.log.last();
        drop(state);
        self.bell.send_replace(last);
    }
}
