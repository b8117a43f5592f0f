//! Old Revisions that nothing refers to go, or every update would leave one behind for ever, with its image.
//!
//! The rule is upstream's (knative.dev/serving `pkg/reconciler/gc`): of those that no Route refers to the stale ones go, the longest
//! unused first, until few are left; of what is left not too many stay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::resource::REVISIONS;
use api::serving::{Configuration, Revision, annotation, label};
use jiff::Timestamp;

use crate::object::Action;

/// How long Revisions stay that nothing refers to (knative.dev/serving `config-gc`). `None` is `disabled`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// `retain-since-create-time`: one that is younger is not stale.
    pub since_create: Option<Duration>,
    /// `retain-since-last-active-time`: one that was referred to since is not stale.
    pub since_last_active: Option<Duration>,
    /// `min-non-active-revisions`: so many stay, stale or not.
    pub min: usize,
    /// `max-non-active-revisions`: no more stay, stale or not.
    pub max: Option<usize>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            since_create: Some(Duration::from_secs(48 * 3600)),
            since_last_active: Some(Duration::from_secs(15 * 3600)),
            min: 20,
            max: Some(1000),
        }
    }
}

impl Retention {
    /// When a Revision becomes stale; never if neither time says so.
    fn stale_at(&self, revision: &Revision) -> Option<Timestamp> {
        let after = |since: Option<Timestamp>, kept: Option<Duration>| {
            kept.map(|kept| since?.checked_add(kept).ok())
        };
        let created = after(revision.metadata.creation_timestamp, self.since_create);
        let active = after(last_used(revision), self.since_last_active);
        match (created, active) {
            (None, None) => None,
            (Some(end), None) | (None, Some(end)) => end,
            (Some(created), Some(active)) => Some(created?.max(active?)),
        }
    }
}

/// `named` are the Revisions that a spec, or traffic now, names whatever their labels say: these follow a round later.
pub(crate) fn plan(
    configuration: &Configuration,
    revisions: &BTreeMap<String, Revision>,
    named: &BTreeSet<&str>,
    retention: &Retention,
    now: Timestamp,
) -> Vec<Action> {
    let idle = idle(configuration, revisions, named);
    let spare = idle.len().saturating_sub(retention.min);
    let is_stale = |revision: &Revision| retention.stale_at(revision).is_some_and(|at| now >= at);
    let (stale, kept): (Vec<&Revision>, Vec<&Revision>) =
        idle.into_iter().partition(|revision| is_stale(revision));
    // Of those that are stale but have to stay, and of those that are not, the longest unused go if there are too many.
    let excess = match retention.max {
        Some(max) if stale.len() < spare => kept.len().saturating_sub(max),
        _ => 0,
    };
    let collected = stale
        .into_iter()
        .take(spare)
        .chain(kept.into_iter().take(excess));
    collected
        .map(|revision| Action::Delete {
            resource: REVISIONS,
            namespace: revision.metadata.namespace.clone(),
            name: revision.metadata.name.clone(),
            uid: revision.metadata.uid.clone(),
        })
        .collect()
}

/// The next moment at which one more goes, if nothing happens until then.
pub(crate) fn deadline(
    configuration: &Configuration,
    revisions: &BTreeMap<String, Revision>,
    named: &BTreeSet<&str>,
    retention: &Retention,
    now: Timestamp,
) -> Option<Timestamp> {
    let idle = idle(configuration, revisions, named);
    if idle.len() <= retention.min {
        return None;
    }
    let ends = idle
        .iter()
        .filter_map(|revision| retention.stale_at(revision));
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
        let preserved = metadata
            .annotation(annotation::NO_GC)
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        metadata.label(label::ROUTING_STATE) == Some("reserve")
            && !preserved
            && metadata.name != status.latest_ready_revision_name
            && metadata.name != status.latest_created_revision_name
            && !named.contains(metadata.name.as_str())
    };
    let mut idle: Vec<_> = revisions.values().filter(is_idle).collect();
    idle.sort_by_key(|revision| last_used(revision));
    idle
}

fn last_used(revision: &Revision) -> Option<Timestamp> {
    let metadata = &revision.metadata;
    let modified = metadata.annotation(annotation::ROUTING_STATE_MODIFIED);
    let modified = modified.and_then(|at| at.parse().ok());
    modified.or(metadata.creation_timestamp)
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
            annotation::ROUTING_STATE_MODIFIED.to_owned(),
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
        collected_by(&Retention::default(), count, further)
    }

    fn collected_by(retention: &Retention, count: i64, further: &[Revision]) -> Vec<String> {
        let kept = BTreeSet::from(["named"]);
        let revisions = revisions(count, further);
        let actions = plan(&configuration(), &revisions, &kept, retention, NOW);
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
    fn each_setting_does_what_it_says() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        let all = Retention {
            since_create: hours(10),
            since_last_active: hours(5),
            min: 1,
            max: Some(3),
        };
        // Made and last referred to so many hours ago.
        let ages = |ages: &[(i64, i64)]| -> Vec<Revision> {
            ages.iter()
                .enumerate()
                .map(|(index, (made, used))| revision(&format!("r{index}"), *made, *used))
                .collect()
        };
        for (name, retention, revisions, expected) in [
            ("few enough", all.clone(), ages(&[(99, 99)]), &[][..]),
            (
                "stale ones go until few enough are left",
                all.clone(),
                ages(&[(99, 50), (99, 40), (99, 30)]),
                &["r0", "r1"],
            ),
            (
                "a young one does not protect the older",
                all.clone(),
                ages(&[(9, 60), (99, 50)]),
                &["r1"],
            ),
            (
                "the longest unused goes first, whenever it was made",
                all.clone(),
                ages(&[(20, 10), (15, 14)]),
                &["r1"],
            ),
            (
                "none is stale, but there are too many",
                all.clone(),
                ages(&[(9, 8), (9, 7), (9, 6), (9, 4), (9, 3)]),
                &["r0", "r1"],
            ),
            (
                "stale ones and then too many",
                all.clone(),
                ages(&[(99, 50), (9, 8), (9, 7), (9, 6), (9, 4)]),
                &["r0", "r1"],
            ),
            (
                "without a time of making only the use counts",
                Retention {
                    since_create: None,
                    ..all.clone()
                },
                ages(&[(6, 6), (9, 4)]),
                &["r0"],
            ),
            (
                "without a time of use only the making counts",
                Retention {
                    since_last_active: None,
                    ..all.clone()
                },
                ages(&[(11, 0), (9, 9)]),
                &["r0"],
            ),
            (
                "without times none is stale",
                Retention {
                    since_create: None,
                    since_last_active: None,
                    ..all.clone()
                },
                ages(&[(99, 99), (99, 98), (99, 97)]),
                &[],
            ),
            (
                "and still there may be too many",
                Retention {
                    since_create: None,
                    since_last_active: None,
                    max: Some(2),
                    ..all.clone()
                },
                ages(&[(99, 99), (99, 98), (99, 97)]),
                &["r0"],
            ),
            (
                "nothing at all",
                Retention {
                    since_create: None,
                    since_last_active: None,
                    min: 0,
                    max: None,
                },
                ages(&[(99, 99), (99, 98)]),
                &[],
            ),
            (
                "none need stay",
                Retention {
                    min: 0,
                    max: Some(0),
                    ..all.clone()
                },
                ages(&[(99, 99), (1, 1)]),
                &["r0", "r1"],
            ),
            (
                "without a limit the young stay",
                Retention { max: None, ..all },
                ages(&[(9, 8), (9, 7), (9, 6), (9, 4), (9, 3)]),
                &[],
            ),
        ] {
            let found = collected_by(&retention, 0, &revisions);
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_revision_that_was_never_referred_to_counts_from_when_it_was_made() {
        let mut revisions: Vec<_> = (0..22)
            .map(|index| revision(&format!("r{index:02}"), 100 - index, 0))
            .collect();
        for revision in &mut revisions {
            revision.metadata.annotations.clear();
        }
        assert_eq!(collected(0, &revisions), ["r00", "r01"]);
    }

    #[test]
    fn what_is_in_use_or_preserved_stays() {
        let mut active = revision("active", 9000, 9000);
        let labels = &mut active.metadata.labels;
        labels.insert(label::ROUTING_STATE.to_owned(), "active".to_owned());
        let mut preserved = revision("preserved", 9000, 9000);
        let annotations = &mut preserved.metadata.annotations;
        annotations.insert(annotation::NO_GC.to_owned(), "True".to_owned());
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
            let (configuration, retention) = (configuration(), Retention::default());
            let at = deadline(
                &configuration,
                &revisions,
                &BTreeSet::new(),
                &retention,
                NOW,
            )?;
            Some(at.duration_since(NOW).as_hours())
        };
        let young = |hours| revision("young", hours, 9000);
        assert_eq!(next(0, &[young(40)]), None);
        assert_eq!(next(25, &[]), None);
        assert_eq!(next(20, &[young(40)]), Some(8));
        assert_eq!(next(19, &[revision("used", 47, 10)]), None, "few enough");
        let used: Vec<_> = (0..21)
            .map(|index| revision(&format!("used-{index}"), 9000, 10))
            .collect();
        assert_eq!(next(0, &used), Some(5));
    }
}
