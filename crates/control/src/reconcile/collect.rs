//! Old Revisions that nothing refers to go, or every update would leave one behind for ever, with its image.
//!
//! The rule and its numbers are upstream's (knative.dev/serving `pkg/reconciler/gc`, `config-gc`): of those that no Route refers to,
//! the 20 that were referred to last stay; of the others those go that are older than 48 h and have not been referred to for 15 h;
//! more than 1000 never stay.

use std::collections::BTreeMap;
use std::time::Duration;

use api::resource::REVISIONS;
use api::serving::{Configuration, Revision, label};
use jiff::Timestamp;

use super::routing_state;
use crate::object::Action;

const KEPT: usize = 20;
const MOST: usize = 1000;
const AGE: Duration = Duration::from_secs(48 * 3600);
const UNUSED: Duration = Duration::from_secs(15 * 3600);
/// Keeps a Revision from being collected.
const PRESERVED: &str = "serving.knative.dev/no-gc";

pub(crate) fn plan(
    configuration: &Configuration,
    revisions: &BTreeMap<String, Revision>,
    now: Timestamp,
) -> Vec<Action> {
    let mut idle: Vec<&Revision> = revisions
        .values()
        .filter(|revision| is_idle(revision, configuration))
        .collect();
    idle.sort_by_key(|revision| last_used(revision));
    let spare = idle.len().saturating_sub(KEPT);
    let excess = idle.len().saturating_sub(MOST);
    let collected = idle
        .into_iter()
        .take(spare)
        .enumerate()
        .filter(|(index, revision)| *index < excess || is_stale(revision, now));
    collected
        .map(|(_, revision)| Action::Delete {
            resource: REVISIONS,
            namespace: revision.metadata.namespace.clone(),
            name: revision.metadata.name.clone(),
        })
        .collect()
}

/// Whether no Route refers to it, nor may at once.
fn is_idle(revision: &Revision, configuration: &Configuration) -> bool {
    let metadata = &revision.metadata;
    let status = &configuration.status;
    metadata.label(label::ROUTING_STATE) == Some("reserve")
        && metadata.annotation(PRESERVED) != Some("true")
        && metadata.name != status.latest_ready_revision_name
        && metadata.name != status.latest_created_revision_name
}

fn last_used(revision: &Revision) -> Option<Timestamp> {
    let metadata = &revision.metadata;
    let modified = metadata.annotation(routing_state::MODIFIED);
    let modified = modified.and_then(|at| at.parse().ok());
    modified.or(metadata.creation_timestamp)
}

fn is_stale(revision: &Revision, now: Timestamp) -> bool {
    let older = |than: Duration, since: Option<Timestamp>| {
        since
            .and_then(|since| since.checked_add(than).ok())
            .is_some_and(|end| now >= end)
    };
    older(AGE, revision.metadata.creation_timestamp) && older(UNUSED, last_used(revision))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn hours_ago(hours: i64) -> Timestamp {
        NOW.checked_sub(SignedDuration::from_hours(hours)).unwrap()
    }

    /// A Revision that was made and last referred to so many hours ago.
    fn revision(name: &str, made: i64, used: i64) -> Revision {
        let mut revision = Revision::default();
        let metadata = &mut revision.metadata;
        metadata.name = name.to_owned();
        metadata.creation_timestamp = Some(hours_ago(made));
        let state = (label::ROUTING_STATE.to_owned(), "reserve".to_owned());
        metadata.labels.extend([state]);
        let modified = (
            routing_state::MODIFIED.to_owned(),
            hours_ago(used).to_string(),
        );
        metadata.annotations.extend([modified]);
        revision
    }

    /// The names of those that go, of `count` that are stale, the first the longest, and of `further` ones.
    fn collected(count: i64, further: &[Revision]) -> Vec<String> {
        let mut configuration = Configuration::default();
        configuration.status.latest_ready_revision_name = "ready".to_owned();
        configuration.status.latest_created_revision_name = "created".to_owned();
        let stale = (0..count).map(|index| revision(&format!("f-{index:05}"), 9000, 8000 - index));
        let revisions = stale
            .chain(further.iter().cloned())
            .map(|revision| (revision.metadata.name.clone(), revision))
            .collect();
        let actions = plan(&configuration, &revisions, NOW);
        let names = actions.into_iter().map(|action| match action {
            Action::Delete { name, .. } => name,
            other => panic!("{other:?}"),
        });
        names.collect()
    }

    #[test]
    fn twenty_stay_and_the_longest_unused_go_first() {
        assert_eq!(collected(20, &[]), [""; 0]);
        assert_eq!(collected(22, &[]), ["f-00000", "f-00001"]);
    }

    #[test]
    fn those_that_are_young_or_were_used_lately_stay() {
        for (name, made, used, goes) in [
            ("young", 47, 9000, false),
            ("used", 9000, 14, false),
            ("neither", 48, 9000, true),
        ] {
            let further = [revision(name, made, used)];
            let gone = collected(25, &further).contains(&name.to_owned());
            assert_eq!(gone, goes, "{name}");
        }
    }

    #[test]
    fn more_than_a_thousand_never_stay() {
        let young: Vec<_> = (0..1003)
            .map(|index| revision(&format!("f-{index:05}"), 1, 1))
            .collect();
        assert_eq!(collected(0, &young).len(), 3);
    }

    #[test]
    fn what_is_in_use_or_preserved_stays() {
        let mut active = revision("active", 9000, 9000);
        let labels = &mut active.metadata.labels;
        labels.insert(label::ROUTING_STATE.to_owned(), "active".to_owned());
        let mut preserved = revision("preserved", 9000, 9000);
        let annotations = &mut preserved.metadata.annotations;
        annotations.insert(PRESERVED.to_owned(), "true".to_owned());
        let further = [
            active,
            preserved,
            revision("ready", 9000, 9000),
            revision("created", 9000, 9000),
        ];
        assert_eq!(collected(21, &further), ["f-00000"]);
    }
}
