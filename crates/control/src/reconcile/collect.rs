//! Old Revisions that nothing refers to go, or every update would leave one behind for ever, with its image.
//!
//! The rule and its numbers are upstream's (knative.dev/serving `pkg/reconciler/gc`, `config-gc`): of those that no Route refers to,
//! the 20 that were referred to last stay; of the others those go that are older than 48 h and have not been referred to for 15 h;
//! more than 1000 never stay.

use std::collections::{BTreeMap, BTreeSet};
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

/// `named` are the Revisions that a spec, or traffic now, names whatever their labels say: these follow a round later.
pub(crate) fn plan(
    configuration: &Configuration,
    revisions: &BTreeMap<String, Revision>,
    named: &BTreeSet<&str>,
    now: Timestamp,
) -> Vec<Action> {
    let idle = idle(configuration, revisions, named);
    let excess = idle.len().saturating_sub(MOST);
    let collected = spare(&idle).iter().enumerate().filter(|(index, revision)| {
        *index < excess || stale_at(revision).is_some_and(|at| now >= at)
    });
    collected
        .map(|(_, revision)| Action::Delete {
            resource: REVISIONS,
            namespace: revision.metadata.namespace.clone(),
            name: revision.metadata.name.clone(),
        })
        .collect()
}

/// The next moment at which one more goes, if nothing happens until then.
pub(crate) fn deadline(
    configuration: &Configuration,
    revisions: &BTreeMap<String, Revision>,
    named: &BTreeSet<&str>,
    now: Timestamp,
) -> Option<Timestamp> {
    let idle = idle(configuration, revisions, named);
    let ends = spare(&idle)
        .iter()
        .filter_map(|revision| stale_at(revision));
    ends.filter(|end| *end > now).min()
}

/// Those that nothing refers to, nor may at once, the longest unused first.
fn idle<'a>(
    configuration: &Configuration,
    revisions: &'a BTreeMap<String, Revision>,
    named: &BTreeSet<&str>,
) -> Vec<&'a Revision> {
    let status = &configuration.status;
    let is_idle = |revision: &&Revision| {
        let metadata = &revision.metadata;
        metadata.label(label::ROUTING_STATE) == Some("reserve")
            && metadata.annotation(PRESERVED) != Some("true")
            && metadata.name != status.latest_ready_revision_name
            && metadata.name != status.latest_created_revision_name
            && !named.contains(metadata.name.as_str())
    };
    let mut idle: Vec<_> = revisions.values().filter(is_idle).collect();
    idle.sort_by_key(|revision| last_used(revision));
    idle
}

/// Of the idle ones, those that may go.
fn spare<'a, 'b>(idle: &'a [&'b Revision]) -> &'a [&'b Revision] {
    &idle[..idle.len().saturating_sub(KEPT)]
}

fn last_used(revision: &Revision) -> Option<Timestamp> {
    let metadata = &revision.metadata;
    let modified = metadata.annotation(routing_state::MODIFIED);
    let modified = modified.and_then(|at| at.parse().ok());
    modified.or(metadata.creation_timestamp)
}

/// When it is old and unused enough to go.
fn stale_at(revision: &Revision) -> Option<Timestamp> {
    let old = revision
        .metadata
        .creation_timestamp?
        .checked_add(AGE)
        .ok()?;
    let unused = last_used(revision)?.checked_add(UNUSED).ok()?;
    Some(old.max(unused))
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

    fn configuration() -> Configuration {
        let mut configuration = Configuration::default();
        configuration.status.latest_ready_revision_name = "ready".to_owned();
        configuration.status.latest_created_revision_name = "created".to_owned();
        configuration
    }

    /// So many that are stale, the first the longest, and `further` ones.
    fn revisions(count: i64, further: &[Revision]) -> BTreeMap<String, Revision> {
        let stale = (0..count).map(|index| revision(&format!("f-{index:05}"), 9000, 8000 - index));
        stale
            .chain(further.iter().cloned())
            .map(|revision| (revision.metadata.name.clone(), revision))
            .collect()
    }

    /// The names of those of them that go.
    fn collected(count: i64, further: &[Revision]) -> Vec<String> {
        let kept = BTreeSet::from(["named"]);
        let actions = plan(&configuration(), &revisions(count, further), &kept, NOW);
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
            revision("named", 9000, 9000),
        ];
        assert_eq!(collected(21, &further), ["f-00000"]);
    }

    #[test]
    fn the_next_to_go_is_known_beforehand() {
        let next = |count, further: &[Revision]| {
            let revisions = revisions(count, further);
            let at = deadline(&configuration(), &revisions, &BTreeSet::new(), NOW)?;
            Some(at.duration_since(NOW).as_hours())
        };
        let young = |hours| revision("young", hours, 9000);
        assert_eq!(next(0, &[young(40)]), None);
        assert_eq!(next(25, &[]), None);
        assert_eq!(next(20, &[young(40)]), Some(8));
        assert_eq!(next(20, &[revision("used", 47, 10)]), None);
        let used: Vec<_> = (0..21)
            .map(|index| revision(&format!("used-{index}"), 9000, 10))
            .collect();
        assert_eq!(next(0, &used), Some(5));
    }
}
