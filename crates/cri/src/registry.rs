//! The pods and containers that are ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tonic::Status;
use tracing::warn;

use crate::container::Container;
use crate::pod::Pod;
use crate::seed::Guest;
use crate::state::{self, State};

#[derive(Default)]
pub(crate) struct Registry(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    pods: HashMap<String, Arc<Pod>>,
    containers: HashMap<String, Arc<Container>>,
    /// By the container that stands for it in containerd.
    guests: HashMap<String, Arc<Guest>>,
}

impl Registry {
    /// What a predecessor knew. Nothing runs any more.
    pub(crate) fn restored(state: &State) -> Result<Self, state::Error> {
        let mut entries = Entries::default();
        for (id, request) in state.pods()? {
            entries
                .pods
                .insert(id.clone(), Arc::new(Pod::new(id, request)));
        }
        for kept in state.containers()? {
            let Some(pod) = entries.pods.get(&kept.request.pod_sandbox_id) else {
                warn!(container = kept.id, "its pod is gone, and so is it");
                state.remove_container(&kept.id)?;
                continue;
            };
            let record = kept.record.clone().abandoned(Timestamp::now());
            if record != kept.record {
                state.put_record(&kept.id, &record)?;
            }
            let config = kept.request.config.unwrap_or_default();
            let container = Container::new(kept.id.clone(), pod.clone(), config, record);
            entries.containers.insert(kept.id, Arc::new(container));
        }
        Ok(Self(Mutex::new(entries)))
    }

    /// Whether there is nothing that containerd does not know all about.
    pub(crate) fn is_empty(&self) -> bool {
        let entries = self.entries();
        entries.pods.is_empty() && entries.guests.is_empty()
    }

    pub(crate) fn add_guest(&self, stub: &str, guest: Arc<Guest>) {
        self.entries().guests.insert(stub.to_owned(), guest);
    }

    pub(crate) fn guest(&self, stub: &str) -> Option<Arc<Guest>> {
        self.entries().guests.get(stub).cloned()
    }

    pub(crate) fn remove_guest(&self, stub: &str) -> Option<Arc<Guest>> {
        self.entries().guests.remove(stub)
    }

    /// The guests of a pod, with the containers that stand for them.
    pub(crate) fn guests_of(&self, pod: &str) -> Vec<(String, Arc<Guest>)> {
        let entries = self.entries();
        let guests = entries.guests.iter().filter(|(_, it)| it.pod == pod);
        guests
            .map(|(stub, it)| (stub.clone(), it.clone()))
            .collect()
    }

    pub(crate) fn pod(&self, id: &str) -> Option<Arc<Pod>> {
        self.entries().pods.get(id).cloned()
    }

    pub(crate) fn pods(&self) -> Vec<Arc<Pod>> {
        self.entries().pods.values().cloned().collect()
    }

    pub(crate) fn add_pod(&self, pod: Pod) {
        let mut entries = self.entries();
        entries.pods.insert(pod.id.clone(), Arc::new(pod));
    }

    pub(crate) fn remove_pod(&self, id: &str) {
        self.entries().pods.remove(id);
    }

    pub(crate) fn container(&self, id: &str) -> Option<Arc<Container>> {
        self.entries().containers.get(id).cloned()
    }

    /// All, oldest first.
    pub(crate) fn containers(&self) -> Vec<Arc<Container>> {
        let mut all: Vec<_> = self.entries().containers.values().cloned().collect();
        all.sort_by_key(|it| (it.record().created_at, it.id.clone()));
        all
    }

    pub(crate) fn containers_of(&self, pod: &str) -> Vec<Arc<Container>> {
        let mut all = self.containers();
        all.retain(|it| it.pod.id == pod);
        all
    }

    /// A name can be taken once in a pod for each attempt.
    pub(crate) fn add_container(&self, container: Container) -> Result<Arc<Container>, Status> {
        let mut entries = self.entries();
        let taken = entries.containers.values().find(|it| {
            it.pod.id == container.pod.id
                && it.name() == container.name()
                && it.attempt() == container.attempt()
        });
        if let Some(taken) = taken {
            return Err(Status::already_exists(format!(
                "container {:?}, attempt {}, of pod sandbox {} is there already: {}",
                container.name(),
                container.attempt(),
                container.pod.id,
                taken.id
            )));
        }
        let container = Arc::new(container);
        entries
            .containers
            .insert(container.id.clone(), container.clone());
        Ok(container)
    }

    /// Whether it was there.
    pub(crate) fn remove_container(&self, id: &str) -> bool {
        self.entries().containers.remove(id).is_some()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing done under the lock stops half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
