//! A function's whole family: the Service, its Configuration and Route, and their Revisions.
//!
//! ```text
//! Service ─┬─► Configuration ─► Revision … (one for each generation)
//!          └─► Route ─► shares of the traffic
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use api::meta::ObjectMeta;
use api::serving::{API_VERSION, Configuration, Revision, Route, Service, condition};
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
    /// Revisions of others that the Route or the Configuration names, by name: for saying whose they are.
    pub strangers: BTreeMap<String, Revision>,
    /// What is seen of the family's own, by name.
    pub observations: BTreeMap<String, RevisionObservation>,
}

/// What a node decides for all of its families.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How host names and URLs are made.
    pub domain: Domain,
    /// How long Revisions stay that nothing refers to.
    pub retention: Retention,
}

/// What to do next. Nothing once everything is as it should be; until then each round of doing all of it and looking again
/// comes closer.
///
/// What is on its way out, or whose owner is, is left to the collection of garbage: a child that was made anew or written to
/// meanwhile would hold it up. Once an owner is gone that let its children live, they go on.
pub fn plan(family: &Family, settings: &Settings, now: Timestamp) -> Vec<Action> {
    let staying = family.staying();
    let revisions = Revisions {
        own: &family.revisions,
        strangers: &family.strangers,
    };
    let mut actions = Vec::new();
    let service = family.service.as_ref();
    if let Some(service) = service.filter(|it| is_here(&it.metadata)) {
        actions.extend(reconcile::service(
            service,
            family.configuration.as_ref(),
            family.route.as_ref(),
            &revisions,
            now,
        ));
    }
    let configuration = family.configuration.as_ref();
    let configuration = configuration.filter(|it| family.stays(&it.metadata));
    if let Some(configuration) = configuration {
        actions.extend(reconcile::configuration(configuration, &revisions, now));
        actions.extend(reconcile::collect(
            configuration,
            &staying,
            &family.named(),
            &settings.retention,
            now,
        ));
    }
    let route = family.route.as_ref();
    actions.extend(reconcile::routing_state(route, &staying, now));
    for revision in staying.values() {
        let observation = family.observations.get(&revision.metadata.name);
        actions.extend(observation.and_then(|seen| reconcile::revision(revision, seen, now)));
    }
    if let Some(route) = route.filter(|it| family.stays(&it.metadata)) {
        actions.extend(reconcile::route(
            route,
            configuration,
            &revisions,
            &settings.domain,
            now,
        ));
    }
    once_each(actions)
}

impl Family {
    /// When to plan again though nothing has happened: the next moment at which a revision that has never been ready counts as
    /// failed, an old one may go, or a new one gets more of the traffic.
    pub fn next_deadline(&self, retention: &Retention, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.revisions.values().filter(|revision| {
            condition(&revision.status.conditions, "ResourcesAvailable")
                .is_none_or(|available| available.status != "True")
        });
        let collection = self.configuration.as_ref().and_then(|configuration| {
            reconcile::collection(
                configuration,
                &self.revisions,
                &self.named(),
                retention,
                now,
            )
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

    /// Names of Revisions that the Route or the Configuration names and that are not the family's own: see [`Self::strangers`].
    pub fn unknown_revisions(&self) -> impl Iterator<Item = String> {
        let targets = self.route.iter().flat_map(|route| &route.spec.traffic);
        let targets = targets.map(|target| target.revision_name.clone());
        let latest = self.configuration.iter().map(reconcile::revision_name);
        targets
            .chain(latest)
            .filter(|name| !name.is_empty() && !self.revisions.contains_key(name))
    }

    /// The Revisions that stay: mostly all of them.
    fn staying(&self) -> Cow<'_, BTreeMap<String, Revision>> {
        let stays = |revision: &Revision| self.stays(&revision.metadata);
        if self.revisions.values().all(stays) {
            return Cow::Borrowed(&self.revisions);
        }
        let mut staying = self.revisions.clone();
        staying.retain(|_, revision| stays(revision));
        Cow::Owned(staying)
    }

    /// Whether an object is not on its way out, and neither is what controls it, nor gone. What controls it may be of no kind that
    /// a family has; then that is its own affair.
    fn stays(&self, metadata: &ObjectMeta) -> bool {
        is_here(metadata)
            && match owner_in_family(metadata) {
                Some((Service::KIND, uid)) => self.has_service(uid),
                Some((_, uid)) => self.configuration.as_ref().is_some_and(|it| {
                    let metadata = &it.metadata;
                    let above = match owner_in_family(metadata) {
                        Some((Service::KIND, uid)) => self.has_service(uid),
                        _ => true,
                    };
                    metadata.uid == uid && is_here(metadata) && above
                }),
                None => true,
            }
    }

    /// Whether the Service with this uid is there and stays.
    fn has_service(&self, uid: &str) -> bool {
        let service = self.service.as_ref().map(|it| &it.metadata);
        service.is_some_and(|it| it.uid == uid && is_here(it))
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

/// Kind and uid of the Service or the Configuration that controls an object.
fn owner_in_family(metadata: &ObjectMeta) -> Option<(&'static str, &str)> {
    let owner = metadata.controller()?;
    let kind = [Service::KIND, Configuration::KIND]
        .into_iter()
        .find(|kind| *kind == owner.kind && owner.api_version == API_VERSION)?;
    Some((kind, &owner.uid))
}

/// The first action of each object: the first write makes the second one stale, and the next round knows better.
fn once_each(actions: Vec<Action>) -> Vec<Action> {
    let mut seen = BTreeSet::new();
    actions
        .into_iter()
        .filter(|action| seen.insert(action.subject()))
        .collect()
}
