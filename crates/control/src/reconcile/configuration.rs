//! Configuration → one Revision for each generation.

use std::collections::BTreeMap;

use api::meta::{ObjectMeta, StringMap};
use api::serving::{Configuration, Revision, condition, is_ready, label};
use jiff::Timestamp;

use crate::conditions::{self, Verdict};
use crate::object::{Action, Object, owner};

pub(crate) fn plan(
    configuration: &Configuration,
    revisions: &BTreeMap<String, Revision>,
    now: Timestamp,
) -> Vec<Action> {
    let latest = revision_name(configuration);
    let mut actions = Vec::new();
    if !revisions.contains_key(&latest) {
        actions.push(Action::Create(Object::Revision(Box::new(new_revision(
            configuration,
            &latest,
        )))));
    }
    let mut updated = configuration.clone();
    let status = &mut updated.status;
    status.observed_generation = configuration.metadata.generation;
    if let Some(newest) = newest_ready(revisions) {
        status.latest_ready_revision_name = newest;
    }
    let verdict = revisions
        .get(&latest)
        .map_or_else(|| Verdict::unknown("", ""), |it| told(&latest, it));
    status.latest_created_revision_name = latest;
    // `Ready` is the only condition; its one dependent is not shown.
    let mut conditions = conditions::write(
        &configuration.status.conditions,
        &[("Ready", verdict)],
        &[],
        now,
    );
    conditions.dedup_by(|left, right| left.kind == right.kind);
    status.conditions = conditions;
    if updated.status != configuration.status {
        actions.push(Action::UpdateStatus(Object::Configuration(Box::new(
            updated,
        ))));
    }
    actions
}

/// The name that the user gave, or the Configuration's with its generation.
fn revision_name(configuration: &Configuration) -> String {
    match configuration.spec.template.metadata.name.as_str() {
        "" => format!(
            "{}-{:05}",
            configuration.metadata.name, configuration.metadata.generation
        ),
        given => given.to_owned(),
    }
}

fn new_revision(configuration: &Configuration, name: &str) -> Revision {
    let template = &configuration.spec.template;
    let mut labels = template.metadata.labels.clone();
    labels.extend(StringMap::from([
        (
            label::CONFIGURATION.to_owned(),
            configuration.metadata.name.clone(),
        ),
        (
            label::CONFIGURATION_UID.to_owned(),
            configuration.metadata.uid.clone(),
        ),
        (
            label::CONFIGURATION_GENERATION.to_owned(),
            configuration.metadata.generation.to_string(),
        ),
        (label::ROUTING_STATE.to_owned(), "active".to_owned()),
    ]));
    for key in [label::SERVICE, label::SERVICE_UID] {
        if let Some(value) = configuration.metadata.label(key) {
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    let metadata = ObjectMeta {
        name: name.to_owned(),
        namespace: configuration.metadata.namespace.clone(),
        labels,
        annotations: template.metadata.annotations.clone(),
        owner_references: vec![owner(Configuration::KIND, &configuration.metadata)],
        ..ObjectMeta::default()
    };
    Revision::new(metadata, template.spec.clone())
}

fn newest_ready(revisions: &BTreeMap<String, Revision>) -> Option<String> {
    let ready = revisions
        .values()
        .filter(|revision| is_ready(&revision.status.conditions));
    let newest = ready.max_by_key(|revision| generation(revision))?;
    Some(newest.metadata.name.clone())
}

/// Generation of the Configuration that made it.
fn generation(revision: &Revision) -> i64 {
    revision
        .metadata
        .label(label::CONFIGURATION_GENERATION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn told(name: &str, revision: &Revision) -> Verdict {
    let Some(ready) = condition(&revision.status.conditions, "Ready") else {
        return Verdict::unknown("", "");
    };
    match ready.status.as_str() {
        "True" => Verdict::yes(),
        "False" => Verdict::no(
            "RevisionFailed",
            format!("Revision {name:?} failed with message: {}", ready.message),
        ),
        _ => Verdict::unknown(&ready.reason, &ready.message),
    }
}
