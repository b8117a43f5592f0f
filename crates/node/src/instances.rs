//! All instances of the node by name, also those that ended lately: what `get instances` and `logs` look at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway::RevisionKey;
use jiff::Timestamp;
use sandbox::{Handle, State};

/// Ended instances of one revision that are still shown, with their logs.
const REMEMBERED_PER_REVISION: usize = 5;

/// One instance and whose it is.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) revision: RevisionKey,
    pub(crate) service: String,
    pub(crate) handle: Handle,
    pub(crate) started_at: Timestamp,
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

    /// All of a namespace, or of all namespaces, by name.
    pub(crate) fn list(&self, namespace: Option<&str>) -> Vec<Instance> {
        let register = self.register();
        let all = register.by_name.values();
        all.filter(|it| namespace.is_none_or(|namespace| &*it.revision.namespace == namespace))
            .cloned()
            .collect()
    }
}

/// The phase of a Pod that an instance is shown as.
pub(crate) fn pod_phase(state: &State) -> &'static str {
    match state {
        State::Pending | State::Starting => "Pending",
        State::Ready | State::Saving | State::Draining => "Running",
        State::Stopped => "Succeeded",
        State::Failed(_) => "Failed",
    }
}
