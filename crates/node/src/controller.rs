//! Keeps the store and the world as the plans want them: watches, plans, acts, and tells the gateway where traffic goes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use api::meta::ObjectMeta;
use api::resource::{CONFIGURATIONS, REVISIONS, ROUTES, Resource, SERVICES};
use api::serving::{Configuration, Revision, Route, Service, label};
use apiserver::store::{
    Change, Error as StoreError, Event, EventKind, Key, Object as Stored, Preconditions, Store,
    Watch,
};
use control::{
    Action, Domain, Family, InstanceFailure, Object, RevisionObservation, Settings, routing,
};
use futures_util::stream::{self, StreamExt};
use gateway::{HostRoute, RevisionKey};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::agenda::{Agenda, until};
use crate::happenings;
use crate::hosts::Hosts;
use crate::revision::{Hands, Runner};
use crate::shown::{Services, Template};
use crate::sources::ObjectName;
use crate::workload::Workload;

/// Pause after the store refused a write for a reason other than that somebody else was faster.
const RETRY: Duration = Duration::from_millis(500);
/// Families that are looked at, and written to, at the same time: the store puts what waits into one transaction.
const AT_ONCE: usize = 128;

/// Namespace and name of a family.
type FamilyKey = (String, String);

/// A revision as it was when it began to be run: another of the same name has another uid.
struct Running {
    uid: String,
    run: Run,
}

/// A revision that is run, or the reason why it cannot be.
enum Run {
    Runner(Runner),
    Unrunnable(InstanceFailure),
}

/// The one task that acts on plans.
pub(crate) struct Controller {
    store: Store,
    settings: Settings,
    hands: Hands,
    running: HashMap<RevisionKey, Running>,
    /// Runners of deleted revisions that have not left the gateway yet.
    retiring: HashMap<RevisionKey, CancellationToken>,
    /// Runners of deleted revisions, until nothing of them is left.
    leaving: JoinSet<()>,
    /// Names of the revisions of each configuration.
    revisions: BTreeMap<FamilyKey, BTreeSet<String>>,
    /// Hosts of each route, as last published.
    hosts: Hosts<FamilyKey>,
    dirty: BTreeSet<FamilyKey>,
    /// Whose turn it is of those, or of the next after it.
    turn: FamilyKey,
    /// Cancelled once the gateway knows all routes that there were at the start.
    serving: CancellationToken,
    /// When a family is to be looked at again though nothing happens.
    agenda: Agenda<FamilyKey>,
    /// Shown for the routes.
    services: Services,
}

impl Controller {
    pub(crate) fn new(
        store: Store,
        settings: Settings,
        hands: Hands,
        serving: CancellationToken,
    ) -> Self {
        Self {
            services: Services::new(hands.shown.clone()),
            store,
            settings,
            hands,
            running: HashMap::new(),
            retiring: HashMap::new(),
            leaving: JoinSet::new(),
            revisions: BTreeMap::new(),
            hosts: Hosts::default(),
            dirty: BTreeSet::new(),
            turn: FamilyKey::default(),
            serving,
            agenda: Agenda::default(),
        }
    }

    /// Runs until told to stop, then stops every instance.
    pub(crate) async fn run(
        mut self,
        mut changed: mpsc::UnboundedReceiver<RevisionKey>,
        stop: CancellationToken,
    ) {
        while !stop.is_cancelled() {
            // Only a reader far behind loses its place; it looks at everything again.
            if let Err(reason) = self.follow(&mut changed, &stop).await {
                warn!(error = %reason, "lost the place in the store's log");
                if matches!(reason, StoreError::Closed) {
                    break;
                }
            }
        }
        let runners = self
            .running
            .drain()
            .filter_map(|(_, running)| match running.run {
                Run::Runner(runner) => Some(runner.stop()),
                Run::Unrunnable(_) => None,
            });
        let deleted = std::mem::take(&mut self.leaving).join_all();
        futures_util::future::join(futures_util::future::join_all(runners), deleted).await;
    }

    async fn follow(
        &mut self,
        changed: &mut mpsc::UnboundedReceiver<RevisionKey>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let mut watch = self.load()?;
        loop {
            self.reconcile().await;
            let more = !self.dirty.is_empty();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                events = watch.next() => self.note(&events?),
                Some(revision) = changed.recv() => self.mark_revision(&revision),
                () = until(self.agenda.next()) => self.dirty.extend(self.agenda.take_due(Timestamp::now())),
                () = std::future::ready(()), if more => {}
            }
        }
    }

    /// Marks everything there is, and watches from there on.
    fn load(&mut self) -> Result<Watch, StoreError> {
        let watch = self
            .store
            .watch(None, None, self.store.resource_version())?;
        let known = std::mem::take(&mut self.revisions);
        for resource in api::kinds() {
            for object in self.store.list(&resource.qualified(), None).objects {
                if ObjectName::of(object.key()).is_none() {
                    self.mark(&object);
                }
            }
        }
        // Objects that functions take something from may have changed unseen.
        self.runners()
            .for_each(|(_, runner)| runner.tell_changed(None));
        // What was deleted unseen.
        self.dirty.extend(known.into_keys());
        self.dirty.extend(self.hosts.families().cloned());
        let gone: Vec<RevisionKey> = self
            .running
            .keys()
            .filter(|it| {
                key(&REVISIONS, &it.namespace, &it.name)
                    .is_none_or(|key| self.store.get(&key).is_none())
            })
            .cloned()
            .collect();
        for revision in gone {
            self.retire(&revision);
        }
        Ok(watch)
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            if let Some(object) = ObjectName::of(event.object.key()) {
                self.tell_changed(event.object.key().namespace(), &object);
                continue;
            }
            self.mark(&event.object);
            if event.kind == EventKind::Deleted
                && event.object.key().resource() == REVISIONS.qualified()
            {
                self.forget(&event.object);
            }
        }
    }

    fn runners(&self) -> impl Iterator<Item = (&RevisionKey, &Runner)> {
        self.running.iter().filter_map(|(key, it)| match &it.run {
            Run::Runner(runner) => Some((key, runner)),
            Run::Unrunnable(_) => None,
        })
    }

    /// Tells the revisions that take something from an object that it has changed.
    fn tell_changed(&self, namespace: &str, object: &ObjectName) {
        let near = self
            .runners()
            .filter(|(key, _)| &*key.namespace == namespace);
        near.for_each(|(_, runner)| runner.tell_changed(Some(object)));
    }

    /// Marks the family of an object as to be looked at.
    fn mark(&mut self, object: &Stored) {
        let key = object.key();
        let mut family = (key.namespace().to_owned(), key.name().to_owned());
        if key.resource() == REVISIONS.qualified() {
            let Some(configuration) = object.labels().get(label::CONFIGURATION) else {
                return;
            };
            let name = std::mem::replace(&mut family.1, configuration.clone());
            self.revisions
                .entry(family.clone())
                .or_default()
                .insert(name);
        }
        self.dirty.insert(family);
    }

    fn mark_revision(&mut self, revision: &RevisionKey) {
        let object = key(&REVISIONS, &revision.namespace, &revision.name)
            .and_then(|key| self.store.get(&key));
        if let Some(object) = object {
            self.mark(&object);
        }
    }

    /// Forgets a revision that was deleted, unless another has its name already.
    fn forget(&mut self, object: &Stored) {
        let key = object.key();
        if self.store.get(key).is_some() {
            // Its runner is retired when the family is looked at, if that has not happened yet.
            return;
        }
        if let Some(configuration) = object.labels().get(label::CONFIGURATION) {
            let family = (key.namespace().to_owned(), configuration.clone());
            if let Entry::Occupied(mut names) = self.revisions.entry(family) {
                names.get_mut().remove(key.name());
                if names.get().is_empty() {
                    names.remove();
                }
            }
        }
        self.retire(&RevisionKey::new(key.namespace(), key.name()));
    }

    fn retire(&mut self, revision: &RevisionKey) {
        self.retiring
            .retain(|_, withdrawn| !withdrawn.is_cancelled());
        while self.leaving.try_join_next().is_some() {}
        self.hands.doorbells.remove(revision);
        if let Some(Running {
            run: Run::Runner(runner),
            ..
        }) = self.running.remove(revision)
        {
            self.retiring.insert(revision.clone(), runner.withdrawn());
            self.leaving.spawn(runner.delete());
        }
    }

    async fn reconcile(&mut self) {
        // What needs no write first: requests should not wait for the disk.
        let families = self.serve();
        let advanced = stream::iter(families).map(|(key, family)| self.advance(key, family));
        let advanced: Vec<_> = advanced.buffer_unordered(AT_ONCE).collect().await;
        for (family, deadline) in advanced {
            self.agenda.set(family, deadline);
        }
    }

    /// Does what a family's plan says, and tells when to look at it again though nothing happens.
    async fn advance(&self, key: FamilyKey, family: Family) -> (FamilyKey, Option<Timestamp>) {
        let now = Timestamp::now();
        // Each is done to another object.
        let actions = stream::iter(control::plan(&family, &self.settings, now));
        let done = actions.map(|action| self.act(&key, action));
        let done: Vec<bool> = done.buffered(AT_ONCE).collect().await;
        let refused = done.contains(&false);
        let retry = refused.then(|| now.checked_add(RETRY).unwrap_or(now));
        let deadline = family.next_deadline(&self.settings.retention, now);
        let deadline = retry.into_iter().chain(deadline).min();
        (key, deadline)
    }

    /// Some of what is to be looked at, in turn: all of it at once may be more than there is memory for.
    fn take_some(&mut self) -> Vec<FamilyKey> {
        let after = self.dirty.split_off(&self.turn);
        let some: Vec<FamilyKey> = after
            .iter()
            .chain(&self.dirty)
            .take(AT_ONCE)
            .cloned()
            .collect();
        self.dirty.extend(after);
        for family in &some {
            self.dirty.remove(family);
        }
        // Those that come after the last have their turn next; it may well be among them again.
        if let Some(last) = some.last() {
            self.turn.clone_from(last);
        }
        some
    }

    /// Runs the revisions of some of what is to be looked at, and tells the gateway where traffic goes.
    fn serve(&mut self) -> Vec<(FamilyKey, Family)> {
        let mut families = Vec::new();
        for family_key in self.take_some() {
            let mut family = self.family(&family_key);
            self.run_revisions(&mut family);
            self.note_hosts(&family_key, &family);
            let route = family.route.as_ref();
            let domain = &self.settings.domain;
            self.services.show(&family_key, route, domain);
            families.push((family_key, family));
        }
        if let Some(changes) = self.hosts.take_changes() {
            let gateway = &self.hands.gateway;
            gateway.change_routes(&changes.routes, &changes.gone);
        }
        if self.dirty.is_empty() {
            self.serving.cancel();
        }
        families
    }

    fn family(&self, family: &FamilyKey) -> Family {
        let names = self.revisions.get(family).into_iter().flatten();
        let read = |name: &String| Some((name.clone(), self.read(&REVISIONS, &family.0, name)?));
        let mut found = Family {
            service: self.read::<Service>(&SERVICES, &family.0, &family.1),
            configuration: self.read::<Configuration>(&CONFIGURATIONS, &family.0, &family.1),
            route: self.read::<Route>(&ROUTES, &family.0, &family.1),
            revisions: names.filter_map(read).collect(),
            ..Family::default()
        };
        let unknown = found.unknown_revisions();
        found.strangers = unknown.filter_map(|name| read(&name)).collect();
        found
    }

    fn read<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<T> {
        let object = self.store.get(&key(resource, namespace, name)?)?;
        object
            .decode()
            .inspect_err(|reason| error!(error = %reason, object = %object.key(), "cannot read a stored object"))
            .ok()
    }

    /// Makes sure that every revision has its runner, and notes what each sees.
    fn run_revisions(&mut self, family: &mut Family) {
        let routed = routed(family, &self.settings.domain);
        for (name, revision) in &family.revisions {
            let key = RevisionKey::new(revision.metadata.namespace.as_str(), name.as_str());
            let uid = &revision.metadata.uid;
            // One of the same name, whose end was not seen.
            if self.running.get(&key).is_some_and(|it| it.uid != *uid) {
                self.retire(&key);
            }
            let (hands, retiring) = (&self.hands, &self.retiring);
            let predecessor = retiring.get(&key).filter(|it| !it.is_cancelled()).cloned();
            let running = self.running.entry(key).or_insert_with(|| Running {
                uid: uid.clone(),
                run: start(revision, hands, predecessor),
            });
            let observation = match &mut running.run {
                Run::Runner(runner) => {
                    runner.tell_routed(routed.contains(name));
                    runner.observation()
                }
                Run::Unrunnable(failure) => RevisionObservation {
                    image: control::ImageState::Failed {
                        reason: failure.reason.clone(),
                        message: failure.message.clone(),
                    },
                    ..RevisionObservation::default()
                },
            };
            family.observations.insert(name.clone(), observation);
        }
    }

    /// Whether it was done, or is seen to by somebody who was faster.
    async fn act(&self, family: &FamilyKey, action: Action) -> bool {
        let written = match &action {
            Action::Create(object) => {
                let written = self.write(object, Write::Create).await;
                written.inspect(|()| happenings::created(object, &self.hands.events))
            }
            Action::Update(object) => self.write(object, Write::Update).await,
            Action::UpdateStatus(object) => {
                let before = self.stored(object);
                let written = self.write(object, Write::Status).await;
                written.inspect(|()| {
                    happenings::status_written(object, &before, &self.hands.events);
                })
            }
            Action::Delete {
                resource,
                namespace,
                name,
                uid,
            } => match key(resource, namespace, name) {
                Some(key) => {
                    let uid = Some(uid.clone());
                    let preconditions = Preconditions {
                        uid,
                        ..Preconditions::default()
                    };
                    self.store.delete(&key, preconditions).await.map(drop)
                }
                None => Ok(()),
            },
        };
        match written {
            Ok(()) => true,
            // Somebody else was faster, or takes the whole namespace away; its event brings the family here again.
            Err(
                reason @ (StoreError::AlreadyExists(_)
                | StoreError::NotFound(_)
                | StoreError::NoNamespace(_)
                | StoreError::NamespaceTerminating(_)
                | StoreError::Modified { .. }
                | StoreError::Precondition { .. }),
            ) => {
                debug!(error = %reason, "overtaken");
                true
            }
            Err(reason) => {
                error!(error = %reason, namespace = family.0, name = family.1, "cannot write to the store");
                false
            }
        }
    }

    /// An object as it is in the store; Null if it is not there.
    fn stored(&self, object: &Object) -> serde_json::Value {
        let metadata = object.metadata();
        key(&object.resource(), &metadata.namespace, &metadata.name)
            .and_then(|key| self.store.get(&key))
            .map_or(serde_json::Value::Null, |stored| stored.value())
    }

    async fn write(&self, object: &Object, write: Write) -> Result<(), StoreError> {
        let ObjectMeta {
            namespace, name, ..
        } = object.metadata();
        let Some(key) = key(&object.resource(), namespace, name) else {
            return Ok(());
        };
        let Ok(value) = object.to_value() else {
            return Ok(());
        };
        match write {
            // A namespace may have been emptied since the plan was made.
            Write::Create => {
                let change = Change::CreateWithin(value);
                self.store.write(&key, change).await.map(drop)
            }
            Write::Update => self.store.update(&key, value).await.map(drop),
            Write::Status => self.store.update_status(&key, value).await.map(drop),
        }
    }

    /// Notes the hosts of a family's route.
    fn note_hosts(&mut self, family_key: &FamilyKey, family: &Family) {
        let hosts: Vec<HostRoute> = match &family.route {
            Some(route) => {
                routing::hosts(route, family.configuration.as_ref(), &self.settings.domain)
                    .into_iter()
                    .map(|host| HostRoute {
                        host: host.host,
                        targets: host
                            .targets
                            .into_iter()
                            .map(|(revision, share)| {
                                (RevisionKey::new(family_key.0.as_str(), revision), share)
                            })
                            .collect(),
                    })
                    .collect()
            }
            None => Vec::new(),
        };
        self.hosts.set(family_key, hosts);
    }
}

#[derive(Clone, Copy)]
enum Write {
    Create,
    Update,
    Status,
}

/// Names of the revisions that get traffic.
fn routed(family: &Family, domain: &Domain) -> BTreeSet<String> {
    let hosts = family
        .route
        .as_ref()
        .map(|route| routing::hosts(route, family.configuration.as_ref(), domain));
    hosts
        .into_iter()
        .flatten()
        .flat_map(|host| host.targets)
        .map(|(revision, _)| revision)
        .collect()
}

fn start(revision: &Revision, hands: &Hands, predecessor: Option<CancellationToken>) -> Run {
    match Workload::of(revision) {
        Ok(workload) => {
            let template = Template::of(revision);
            Run::Runner(Runner::spawn(
                workload,
                template,
                hands.clone(),
                predecessor,
            ))
        }
        Err(reason) => {
            let message = crate::chain(&reason);
            warn!(revision = %revision.metadata.name, %message, "cannot be run");
            Run::Unrunnable(InstanceFailure {
                reason: "Unsupported".to_owned(),
                message,
                exit_code: None,
            })
        }
    }
}

fn key(resource: &Resource, namespace: &str, name: &str) -> Option<Key> {
    Key::new(&resource.qualified(), namespace, name)
}
