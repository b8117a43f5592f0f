//! A function's whole family: the Service, its Configuration and Route, and their Revisions.
//!
//! ```text
//! Service ─┬─► Configuration ─► Revision … (one for each generation)
//!          └─► Route ─► shares of the traffic
//! ```

use std::collections::{BTreeMap, BTreeSet};

use api::meta::ObjectMeta;
use api::resource::{self, Resource};
use api::serving::{Configuration, Revision, Route, Service, condition};
use jiff::Timestamp;

use crate::object::Action;
use crate::observation::RevisionObservation;
use crate::reconcile::{self, Retention, Revisions};
use crate::routing::Domain;
use crate::traffic;

/// All that there is under one name in one namespace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Family {
    /// The Service.
    pub service: Option<Service>,
    /// The Configuration of that name.
    pub configuration: Option<Configuration>,
    /// The Route of that name.
    pub route: Option<Route>,
    /// The Revisions of the Configuration, by name.
    pub revisions: BTreeMap<String, Revision>,
    /// Revisions of others that the Route names, by name: for saying whose they are.
    pub strangers: BTreeMap<String, Revision>,
    /// What is seen of the family's own, by name.
    pub observations: BTreeMap<String, RevisionObservation>,
}

/// What to do next. Nothing once everything is as it should be; until then each round of doing all of it and looking again
/// comes closer.
pub fn plan(family: &Family, domain: &Domain, now: Timestamp) -> Vec<Action> {
    let revisions = Revisions {
        own: &family.revisions,
        strangers: &family.strangers,
    };
    let mut actions = orphans(family);
    if !actions.is_empty() {
        return actions;
    }
    if let Some(service) = family.service.as_ref().filter(|it| is_here(&it.metadata)) {
        actions.extend(reconcile::service(
            service,
            family.configuration.as_ref(),
            family.route.as_ref(),
            &family.revisions,
            now,
        ));
    }
    let configuration = family
        .configuration
        .as_ref()
        .filter(|it| is_here(&it.metadata));
    if let Some(configuration) = configuration {
        actions.extend(reconcile::configuration(
            configuration,
            &family.revisions,
            now,
        ));
        actions.extend(reconcile::collect(
            configuration,
            &family.revisions,
            &family.named(),
            &Retention::default(),
            now,
        ));
    }
    actions.extend(reconcile::routing_state(
        family.route.as_ref(),
        &family.revisions,
        now,
    ));
    for revision in family.revisions.values() {
        let observation = family.observations.get(&revision.metadata.name);
        actions.extend(observation.and_then(|seen| reconcile::revision(revision, seen, now)));
    }
    if let Some(route) = family.route.as_ref().filter(|it| is_here(&it.metadata)) {
        actions.extend(reconcile::route(
            route,
            configuration,
            &revisions,
            domain,
            now,
        ));
    }
    once_each(actions)
}

impl Family {
    /// When to plan again though nothing has happened: the next moment at which a revision that has never been ready counts as
    /// failed, an old one may go, or a new one gets more of the traffic.
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.revisions.values().filter(|revision| {
            condition(&revision.status.conditions, "ResourcesAvailable")
                .is_none_or(|available| available.status != "True")
        });
        let collection = self.configuration.as_ref().and_then(|configuration| {
            let (revisions, retention) = (&self.revisions, Retention::default());
            reconcile::collection(configuration, revisions, &self.named(), &retention, now)
        });
        let route = self.route.as_ref().filter(|it| traffic::is_gradual(it));
        let step = route.and_then(|route| traffic::recorded(route)?.next_step());
        waiting
            .filter_map(reconcile::progress_deadline)
            .chain(step)
            .filter(|deadline| *deadline > now)
            .chain(collection)
            .min()
    }

    /// Names of Revisions that the Route names and that are not the family's own: see [`Self::strangers`].
    pub fn unknown_revisions(&self) -> impl Iterator<Item = &String> {
        let targets = self.route.iter().flat_map(|route| &route.spec.traffic);
        targets
            .map(|target| &target.revision_name)
            .filter(|name| !name.is_empty() && !self.revisions.contains_key(*name))
    }

    /// The Revisions that the Service, the Configuration or the Route names.
    fn named(&self) -> BTreeSet<&str> {
        let mut named = BTreeSet::new();
        if let Some(service) = &self.service {
            let traffic = service.spec.traffic.iter();
            named.extend(traffic.map(|target| target.revision_name.as_str()));
            named.insert(service.spec.template.metadata.name.as_str());
        }
        if let Some(configuration) = &self.configuration {
            named.insert(configuration.spec.template.metadata.name.as_str());
        }
        if let Some(route) = &self.route {
            let traffic = route.spec.traffic.iter().chain(&route.status.traffic);
            named.extend(traffic.map(|target| target.revision_name.as_str()));
        }
        named
    }
}

/// Whether an object is not on its way out.
fn is_here(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_none()
}

/// The first action of each object: the first write makes the second one stale, and the next round knows better.
fn once_each(actions: Vec<Action>) -> Vec<Action> {
    let mut seen = BTreeSet::new();
    actions
        .into_iter()
        .filter(|action| seen.insert(action.subject()))
        .collect()
}

/// Objects whose owner is gone, or is another of the same name.
fn orphans(family: &Family) -> Vec<Action> {
    let service = family.service.as_ref().map(|it| it.metadata.uid.as_str());
    let configuration = family
        .configuration
        .as_ref()
        .map(|it| it.metadata.uid.as_str());
    let mut actions = Vec::new();
    let mut check = |metadata: &ObjectMeta, resource: Resource| {
        let Some(owner) = metadata.controller() else {
            return;
        };
        let alive = match owner.kind.as_str() {
            "Service" => service,
            "Configuration" => configuration,
            _ => return,
        };
        if alive != Some(owner.uid.as_str()) {
            actions.push(Action::Delete {
                resource,
                namespace: metadata.namespace.clone(),
                name: metadata.name.clone(),
            });
        }
    };
    if let Some(configuration) = &family.configuration {
        check(&configuration.metadata, resource::CONFIGURATIONS);
    }
    if let Some(route) = &family.route {
        check(&route.metadata, resource::ROUTES);
    }
    for revision in family.revisions.values() {
        check(&revision.metadata, resource::REVISIONS);
    }
    actions
}
