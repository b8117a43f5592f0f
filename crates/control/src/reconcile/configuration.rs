//! Configuration → one Revision for each generation.

use std::collections::BTreeMap;
use std::hash::Hasher;

use api::meta::{ObjectMeta, StringMap};
use api::resource::REVISIONS;
use api::serving::{Configuration, Revision, annotation, condition, is_ready, label};
use jiff::Timestamp;

use super::{Revisions, routing_state};
use crate::conditions::{self, Verdict};
use crate::object::{Action, Object, is_left_behind, owner};

/// A Revision's name becomes a label of a host name.
const LONGEST_NAME: usize = 63;

pub(crate) fn plan(
    configuration: &Configuration,
    revisions: &Revisions<'_>,
    now: Timestamp,
) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut updated = configuration.clone();
    let status = &mut updated.status;
    status.observed_generation = configuration.metadata.generation;
    let latest = latest(configuration, revisions);
    if let Some(name) = latest_ready(configuration, revisions.own, &latest) {
        status.latest_ready_revision_name = name;
    }
    let ready = match latest {
        Latest::Missing(name) => {
            let revision = Object::Revision(Box::new(new_revision(configuration, &name, now)));
            actions.push(Action::Create(revision));
            status.latest_created_revision_name = name;
            Verdict::unknown("", "")
        }
        Latest::There(revision) => {
            status
                .latest_created_revision_name
                .clone_from(&revision.metadata.name);
            told(revision)
        }
        Latest::Leaving => Verdict::unknown("", ""),
        Latest::Taken(name) => Verdict::no(
            "RevisionFailed",
            format!(
                "Revision creation failed with message: {} {name:?} already exists.",
                REVISIONS.qualified()
            ),
        ),
    };
    status.conditions = conditions::write_ready(&configuration.status.conditions, &ready, now);
    if updated.status != configuration.status {
        actions.push(Action::UpdateStatus(Object::Configuration(Box::new(
            updated,
        ))));
    }
    actions
}

/// The Revision of the current generation.
pub(super) enum Latest<'a> {
    /// Still to be made, under this name.
    Missing(String),
    /// Made.
    There(&'a Revision),
    /// Its name is that of one that is on its way out.
    Leaving,
    /// Its name is that of another.
    Taken(String),
}

pub(super) fn latest<'a>(configuration: &Configuration, revisions: &Revisions<'a>) -> Latest<'a> {
    let name = revision_name(configuration);
    let own = revisions.own.get(&name);
    let Some(revision) = own.or_else(|| revisions.strangers.get(&name)) else {
        return Latest::Missing(name);
    };
    let parent = &configuration.metadata;
    let left_behind = is_left_behind(&revision.metadata, Configuration::KIND, parent);
    if left_behind || revision.metadata.deletion_timestamp.is_some() {
        return Latest::Leaving;
    }
    let owner = revision.metadata.controller();
    let own = owner.is_some_and(|owner| owner.uid == parent.uid);
    // Going back to a Revision that the user named is fine as long as it is the same one.
    let same = generation(revision) == parent.generation
        || revision.spec == configuration.spec.template.spec;
    if own && same {
        Latest::There(revision)
    } else {
        Latest::Taken(name)
    }
}

/// The name that the user gave, or the Configuration's with its generation.
pub(crate) fn revision_name(configuration: &Configuration) -> String {
    match configuration.spec.template.metadata.name.as_str() {
        "" => generated_name(configuration, configuration.metadata.generation),
        given => given.to_owned(),
    }
}

fn generated_name(configuration: &Configuration, generation: i64) -> String {
    child_name(&configuration.metadata.name, &format!("-{generation:05}"))
}

/// `parent` + `suffix`, with the end of a parent that is too long replaced by its hash.
fn child_name(parent: &str, suffix: &str) -> String {
    if parent.len() + suffix.len() <= LONGEST_NAME {
        return format!("{parent}{suffix}");
    }
    let mut hash = Fnv::default();
    hash.write(parent.as_bytes());
    let hash = format!("-{:016x}", hash.finish());
    let kept = LONGEST_NAME - hash.len() - suffix.len();
    let start: String = parent.chars().take(kept).collect();
    format!("{start}{hash}{suffix}")
}

/// FNV-1a: names must be the same from one build to the next, which the standard library's hash does not promise.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn new_revision(configuration: &Configuration, name: &str, now: Timestamp) -> Revision {
    let template = &configuration.spec.template;
    let parent = &configuration.metadata;
    let mut labels = template.metadata.labels.clone();
    labels.extend(StringMap::from([
        (label::CONFIGURATION.to_owned(), parent.name.clone()),
        (label::CONFIGURATION_UID.to_owned(), parent.uid.clone()),
        (
            label::CONFIGURATION_GENERATION.to_owned(),
            parent.generation.to_string(),
        ),
    ]));
    for key in [label::SERVICE, label::SERVICE_UID] {
        if let Some(value) = parent.label(key) {
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    let mut annotations = template.metadata.annotations.clone();
    // Who changed the template made the Revision.
    let creator = parent
        .annotation(annotation::LAST_MODIFIER)
        .or_else(|| parent.annotation(annotation::CREATOR));
    if let Some(creator) = creator {
        annotations.insert(annotation::CREATOR.to_owned(), creator.to_owned());
    }
    let mut metadata = ObjectMeta {
        name: name.to_owned(),
        namespace: parent.namespace.clone(),
        labels,
        annotations,
        owner_references: vec![owner(Configuration::KIND, parent)],
        ..ObjectMeta::default()
    };
    routing_state::begin(&mut metadata, now);
    Revision::new(metadata, template.spec.clone())
}

/// The newest Revision that was ever ready. It is never one from before the one that it was: a Revision that fails after it has
/// served does not send traffic back in history.
fn latest_ready(
    configuration: &Configuration,
    revisions: &BTreeMap<String, Revision>,
    latest: &Latest<'_>,
) -> Option<String> {
    let is_ready = |revision: &Revision| is_ready(&revision.status.conditions);
    let name = |revision: &Revision| revision.metadata.name.clone();
    if let Latest::There(revision) = latest
        && is_ready(revision)
    {
        return Some(name(revision));
    }
    let newer_than = match revisions.get(&configuration.status.latest_ready_revision_name) {
        None => i64::MIN,
        // Where a Revision with a name of its own stands in history is not known: it may have been gone back to.
        Some(before) if name(before) != generated_name(configuration, generation(before)) => {
            return Some(name(before));
        }
        Some(before) => generation(before),
    };
    let ready = revisions
        .values()
        .filter(|it| is_ready(it) && generation(it) > newer_than);
    ready.max_by_key(|revision| generation(revision)).map(name)
}

/// Generation of the Configuration that made it.
fn generation(revision: &Revision) -> i64 {
    revision
        .metadata
        .label(label::CONFIGURATION_GENERATION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn told(revision: &Revision) -> Verdict {
    let Some(ready) = condition(&revision.status.conditions, "Ready") else {
        return Verdict::unknown("", "");
    };
    match ready.status.as_str() {
        "True" => Verdict::yes(),
        "False" => Verdict::no(
            "RevisionFailed",
            format!(
                "Revision {:?} failed with message: {}.",
                revision.metadata.name,
                ready.message.trim_end_matches('.')
            ),
        ),
        _ => Verdict::unknown(&ready.reason, &ready.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_and_stays_its_own() {
        let long = "a".repeat(62);
        let other = format!("{}b", "a".repeat(61));
        let name = child_name(&long, "-00001");
        assert_eq!(name.len(), LONGEST_NAME);
        assert!(name.ends_with("-00001"), "{name}");
        assert_ne!(name, child_name(&other, "-00001"));
        assert_eq!(child_name("f", "-00001"), "f-00001");
    }
}
