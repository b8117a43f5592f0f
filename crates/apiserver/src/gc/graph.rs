//! Who owns whom, kept up to date event by event: a change costs what hangs on the object, not what there is in the store.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use crate::store::{Key, Object};

/// What collection needs to know of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Facts {
    pub(super) uid: String,
    pub(super) deletion_timestamp: Option<String>,
    pub(super) finalizers: Vec<String>,
    pub(super) owner_references: Vec<Owner>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Owner {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) uid: String,
    pub(super) block_owner_deletion: bool,
}

#[derive(Deserialize)]
struct Head {
    metadata: Facts,
}

impl Facts {
    /// Nothing where the object's metadata has another shape: then nobody owns it.
    pub(super) fn of(object: &Object) -> Self {
        object
            .decode()
            .map(|Head { metadata }| metadata)
            .unwrap_or_default()
    }

    /// Whether it is on its way out and held by `finalizer`.
    pub(super) fn waits(&self, finalizer: &str) -> bool {
        self.deletion_timestamp.is_some() && self.finalizers.iter().any(|held| held == finalizer)
    }
}

/// All objects, and those that are to be looked at because something near them has changed.
#[derive(Debug, Default)]
pub(super) struct Graph {
    objects: HashMap<Key, Facts>,
    by_uid: HashMap<String, Key>,
    /// Of each uid that is named as an owner's: who names it. The owner need not be there.
    dependents: HashMap<String, BTreeSet<Key>>,
    touched: BTreeSet<Key>,
}

impl Graph {
    pub(super) fn get(&self, key: &Key) -> Option<&Facts> {
        self.objects.get(key)
    }

    /// The object of a uid.
    pub(super) fn find(&self, uid: &str) -> Option<(&Key, &Facts)> {
        let key = self.by_uid.get(uid)?;
        Some((key, self.objects.get(key)?))
    }

    /// Those that name `uid` as an owner's.
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = (&Key, &Facts)> {
        let keys = self.dependents.get(uid).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.objects.get(key)?)))
    }

    /// Notes an object as it is now. Whatever has only news that collection does not look at costs nothing further.
    pub(super) fn put(&mut self, key: &Key, facts: Facts) {
        if self.objects.get(key) == Some(&facts) {
            return;
        }
        self.remove(key);
        if !facts.uid.is_empty() {
            self.by_uid.insert(facts.uid.clone(), key.clone());
        }
        for owner in &facts.owner_references {
            let dependents = self.dependents.entry(owner.uid.clone()).or_default();
            dependents.insert(key.clone());
        }
        self.touch_around(key, &facts);
        self.objects.insert(key.clone(), facts);
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, key: &Key) {
        let Some(facts) = self.objects.remove(key) else {
            return;
        };
        if self.by_uid.get(&facts.uid) == Some(key) {
            self.by_uid.remove(&facts.uid);
        }
        for owner in &facts.owner_references {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(key);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        self.touch_around(key, &facts);
    }

    /// Has an object looked at, though nothing near it has changed.
    pub(super) fn touch(&mut self, key: Key) {
        self.touched.insert(key);
    }

    /// What is to be looked at, each once.
    pub(super) fn take_touched(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.touched)
    }

    /// An object, its owners and its dependents.
    fn touch_around(&mut self, key: &Key, facts: &Facts) {
        self.touched.insert(key.clone());
        let owners = facts.owner_references.iter();
        let owners = owners.filter_map(|owner| self.by_uid.get(&owner.uid));
        let dependents = self.dependents.get(&facts.uid).into_iter().flatten();
        let around: Vec<Key> = owners.chain(dependents).cloned().collect();
        self.touched.extend(around);
    }
}
