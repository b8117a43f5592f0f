//! Which Revisions a Route refers to, told in their labels: `pending` until a Route does for the first time, then `active`
//! while it does and `reserve` when it no longer does (what `kn revision delete --prune` deletes).

use std::collections::BTreeMap;

use api::meta::ObjectMeta;
use api::serving::{Revision, Route, annotation, label};
use jiff::Timestamp;

use crate::conditions::whole_seconds;
use crate::object::{Action, Object};

/// Labels a Revision that is being made.
pub(super) fn begin(metadata: &mut ObjectMeta, now: Timestamp) {
    set(metadata, "pending", now);
}

/// Labels the Revisions of a family by what its Route refers to.
pub(crate) fn plan(
    route: Option<&Route>,
    revisions: &BTreeMap<String, Revision>,
    now: Timestamp,
) -> Vec<Action> {
    let refers = |name: &str| {
        route.is_some_and(|route| {
            let mut targets = route.status.traffic.iter().chain(&route.spec.traffic);
            targets.any(|target| target.revision_name == name)
        })
    };
    let route_name = route.map_or("", |route| route.metadata.name.as_str());
    let updates = revisions.values().filter_map(|revision| {
        let mut updated = revision.clone();
        let metadata = &mut updated.metadata;
        if refers(&metadata.name) {
            set(metadata, "active", now);
            let routes = annotation::ROUTES.to_owned();
            metadata.annotations.insert(routes, route_name.to_owned());
        } else {
            metadata.annotations.remove(annotation::ROUTES);
            if metadata.label(label::ROUTING_STATE) != Some("pending") {
                set(metadata, "reserve", now);
            }
        }
        (updated.metadata != revision.metadata)
            .then(|| Action::Update(Object::Revision(Box::new(updated))))
    });
    updates.collect()
}

fn set(metadata: &mut ObjectMeta, state: &str, now: Timestamp) {
    if metadata.label(label::ROUTING_STATE) != Some(state) {
        metadata
            .labels
            .insert(label::ROUTING_STATE.to_owned(), state.to_owned());
        let now = whole_seconds(now).to_string();
        let modified = annotation::ROUTING_STATE_MODIFIED.to_owned();
        metadata.annotations.insert(modified, now);
    }
}
