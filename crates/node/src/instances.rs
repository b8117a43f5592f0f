//! All instances of the node by name, also those that ended lately: whose logs can be read and whom clients may end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway::RevisionKey;
use sandbox::Handle;

/// Ended instances of one revision that are still shown, with their logs.
const REMEMBERED_PER_REVISION: usize = 5;

/// One instance and whose it is.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) revision: RevisionKey,
    /// Name of the container that its function runs in.
    pub(crate) container: String,
    pub(crate) handle: Handle,
}

/// The node's register of instances. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Instances(Arc<Mutex<Register>>);

#[derive(Default)]
struct Register {
    by_name: BTreeMap<String, Instance>,
    ended: BTreeMap<RevisionKey, VecDeque<String>>,
}

impl Instances {
    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, instance: Instance) {
        self.register()
            .by_name
            .insert(instance.handle.id().to_owned(), instance);
    }

    /// Notes that an instance ended; returns older ones that are no longer shown, whose logs can go.
    pub(crate) fn ended(&self, revision: &RevisionKey, name: &str) -> Vec<Handle> {
        let register = &mut *self.register();
        let ended = register.ended.entry(revision.clone()).or_default();
        ended.push_back(name.to_owned());
        let mut forgotten = Vec::new();
        while ended.len() > REMEMBERED_PER_REVISION {
            let Some(oldest) = ended.pop_front() else {
                break;
            };
            if let Some(instance) = register.by_name.remove(&oldest) {
                forgotten.push(instance.handle);
            }
        }
        forgotten
    }

    /// Takes an instance that ended out, if it is one of these.
    pub(crate) fn forget(&self, revision: &RevisionKey, name: &str) -> Option<Handle> {
        let register = &mut *self.register();
        let ended = register.ended.get_mut(revision)?;
        let index = ended.iter().position(|it| it == name)?;
        ended.remove(index);
        let instance = register.by_name.remove(name)?;
        Some(instance.handle)
    }

    /// Forgets which instances of a revision ended, and returns their names.
    pub(crate) fn take_ended(&self, revision: &RevisionKey) -> VecDeque<String> {
        self.register().ended.remove(revision).unwrap_or_default()
    }

    /// Takes instances out, whatever became of them.
    pub(crate) fn remove(&self, names: impl IntoIterator<Item = String>) -> Vec<Handle> {
        let register = &mut *self.register();
        names
            .into_iter()
            .filter_map(|name| register.by_name.remove(&name))
            .map(|instance| instance.handle)
            .collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Instance> {
        self.register().by_name.get(name).cloned()
    }
}
