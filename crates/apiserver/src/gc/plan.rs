//! What owners and their dependents have coming, as a pure function.
//!
//! The rules are those of Kubernetes (`kubernetes/pkg/controller/garbagecollector/garbagecollector.go`):
//!
//! ```text
//!   owner deleted in the background ─► it is gone ─► its dependents are deleted
//!   owner deleted in the foreground ─► it waits (foregroundDeletion) ─► dependents are deleted ─► none blocks it ─► gone
//!   owner deleted as an orphan maker ─► it waits (orphan) ─► dependents lose the reference ─► none is left ─► gone
//! ```
//!
//! A dependent with another owner that stays loses the reference and lives. Where owners and dependents are a circle, all of which
//! waits, nobody in it blocks another.

use std::collections::BTreeSet;

use super::graph::{Facts, Graph, Owner};
use crate::store::{Key, Propagation, finalizer};

/// What is to be done to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Delete it.
    Delete(Propagation),
    /// Take references to owners of these uids from it.
    Release { owners: Vec<String> },
    /// Take this finalizer from it: nothing is left to wait for.
    Unlock { finalizer: &'static str },
}

/// What one object has coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) key: Key,
    /// Another of the same key made later is another.
    pub(super) uid: String,
    /// One or two, in this order.
    pub(super) actions: Vec<Action>,
}

/// What those have coming that are to be looked at.
pub(super) fn plan(graph: &mut Graph) -> Vec<Fate> {
    let touched = graph.take_touched();
    touched
        .into_iter()
        .filter_map(|key| fate(graph, key))
        .collect()
}

fn fate(graph: &Graph, key: Key) -> Option<Fate> {
    let facts = graph.get(&key)?;
    let actions = [
        of_dependent(graph, &key, facts),
        of_owner(graph, &key, facts),
    ];
    let actions: Vec<Action> = actions.into_iter().flatten().collect();
    let uid = facts.uid.clone();
    (!actions.is_empty()).then_some(Fate { key, uid, actions })
}

/// What an object has coming because of its owners.
fn of_dependent(graph: &Graph, key: &Key, facts: &Facts) -> Option<Action> {
    let (mut stay, mut leave, mut orphaned, mut waiting) = (false, Vec::new(), Vec::new(), false);
    for reference in &facts.owner_references {
        let owner = graph.find(&reference.uid);
        let owner = owner.filter(|(owner, _)| reaches(owner, key));
        match owner {
            Some((_, owner)) if owner.waits(finalizer::ORPHAN) => {
                orphaned.push(reference.uid.clone());
            }
            Some((_, owner)) if owner.waits(finalizer::FOREGROUND) => {
                leave.push(reference.uid.clone());
                waiting = true;
            }
            None if is_stored_here(reference) => leave.push(reference.uid.clone()),
            // It lives, or may well: nobody knows of an owner of a kind that is not kept here.
            _ => stay = true,
        }
    }
    if !orphaned.is_empty() {
        Some(Action::Release { owners: orphaned })
    } else if leave.is_empty() {
        None
    } else if stay {
        Some(Action::Release { owners: leave })
    } else if facts.deletion_timestamp.is_some() {
        None
    } else if waiting {
        Some(Action::Delete(Propagation::Foreground))
    } else {
        Some(Action::Delete(Propagation::Background))
    }
}

/// Lets an object go that waited for its dependents, if none is left that it waits for.
fn of_owner(graph: &Graph, key: &Key, facts: &Facts) -> Option<Action> {
    let mut held = [finalizer::ORPHAN, finalizer::FOREGROUND].into_iter();
    let finalizer = held.find(|held| facts.waits(held))?;
    let orphans = facts.waits(finalizer::ORPHAN);
    let waiting = waiting_for(graph, key, facts);
    let dependents = graph.dependents(&facts.uid);
    let mut references = dependents
        .filter(|(dependent, _)| reaches(key, dependent))
        .filter(|(dependent, _)| orphans || !waiting.contains(dependent))
        .flat_map(|(_, dependent)| &dependent.owner_references)
        .filter(|reference| reference.uid == facts.uid);
    let blocked = references.any(|reference| orphans || reference.block_owner_deletion);
    (!blocked).then_some(Action::Unlock { finalizer })
}

/// Those that wait in the foreground for an object, or for one that waits for it, and so on: if one of them is also its dependent,
/// each would wait for the other for ever. An object that owns itself is among them.
fn waiting_for<'a>(graph: &'a Graph, key: &'a Key, facts: &'a Facts) -> BTreeSet<&'a Key> {
    let mut waiting = BTreeSet::new();
    let mut left = vec![(key, facts)];
    while let Some((key, facts)) = left.pop() {
        let references = facts.owner_references.iter();
        for reference in references.filter(|it| it.block_owner_deletion) {
            if let Some((owner, facts)) = graph.find(&reference.uid)
                && reaches(owner, key)
                && facts.waits(finalizer::FOREGROUND)
                && waiting.insert(owner)
            {
                left.push((owner, facts));
            }
        }
    }
    waiting
}

/// An owner lives beside what it owns, or in no namespace at all.
fn reaches(owner: &Key, dependent: &Key) -> bool {
    owner.namespace().is_empty() || owner.namespace() == dependent.namespace()
}

/// Whether the owner would be in the store if there were one.
fn is_stored_here(owner: &Owner) -> bool {
    api::kinds()
        .iter()
        .any(|known| known.kind == owner.kind && known.api_version() == owner.api_version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const V1: &str = "serving.knative.dev/v1";

    fn owned_by(uid: &str, kind: &str) -> Value {
        json!({"apiVersion": V1, "kind": kind, "name": uid, "uid": uid, "blockOwnerDeletion": true})
    }

    /// An object whose name is its uid.
    fn object(uid: &str, owners: &[Value], finalizers: &[&str], deleting: bool) -> (Key, Facts) {
        let mut metadata = json!({"uid": uid, "finalizers": finalizers, "ownerReferences": owners});
        if deleting {
            metadata["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        }
        let key = Key::new("services.serving.knative.dev", "default", uid).unwrap();
        (key, serde_json::from_value(metadata).unwrap())
    }

    fn graph(objects: &[(Key, Facts)]) -> Graph {
        let mut graph = Graph::default();
        for (key, facts) in objects {
            graph.put(key, facts.clone());
        }
        graph
    }

    /// Names of the objects that have something coming, each with what it is.
    fn named(fates: Vec<Fate>) -> Vec<(String, Action)> {
        let each = |fate: Fate| {
            let name = fate.key.name().to_owned();
            let actions = fate.actions.into_iter();
            actions.map(move |action| (name.clone(), action))
        };
        fates.into_iter().flat_map(each).collect()
    }

    fn planned(objects: &[(Key, Facts)]) -> Vec<(String, Action)> {
        named(plan(&mut graph(objects)))
    }

    fn delete(uid: &str, how: Propagation) -> (String, Action) {
        (uid.into(), Action::Delete(how))
    }

    #[test]
    fn what_an_owner_that_is_gone_leaves_behind_goes_too() {
        let child = object("b", &[owned_by("a", "Service")], &[], false);
        assert_eq!(
            planned(std::slice::from_ref(&child)),
            [delete("b", Propagation::Background)]
        );
        assert_eq!(planned(&[object("a", &[], &[], false), child]), []);
    }

    #[test]
    fn an_owner_of_a_kind_that_is_not_kept_here_counts_as_living() {
        let child = object("b", &[owned_by("a", "Pod")], &[], false);
        assert_eq!(planned(&[child]), []);
    }

    #[test]
    fn a_foreground_deletion_ends_when_nothing_blocks_it() {
        let owner = object("a", &[], &[finalizer::FOREGROUND], true);
        let child = |deleting| object("b", &[owned_by("a", "Service")], &[], deleting);
        assert_eq!(
            planned(&[owner.clone(), child(false)]),
            [delete("b", Propagation::Foreground)]
        );
        assert_eq!(
            planned(&[owner.clone(), child(true)]),
            [],
            "it is on its way"
        );
        let finalizer = finalizer::FOREGROUND;
        assert_eq!(
            planned(&[owner]),
            [("a".into(), Action::Unlock { finalizer })]
        );
    }

    #[test]
    fn a_circle_of_owners_that_all_wait_lets_go() {
        let held = [finalizer::FOREGROUND];
        let unlock = |name: &str| {
            let finalizer = finalizer::FOREGROUND;
            (name.to_owned(), Action::Unlock { finalizer })
        };
        let own = object("a", &[owned_by("a", "Service")], &held, true);
        assert_eq!(planned(&[own]), [unlock("a")]);
        let of = |name: &str, owner: &str, deleting| {
            let held: &[&str] = if deleting { &held } else { &[] };
            object(name, &[owned_by(owner, "Service")], held, deleting)
        };
        let first = [of("a", "c", true), of("b", "a", true), of("c", "b", false)];
        assert_eq!(planned(&first), [delete("c", Propagation::Foreground)]);
        let all = [of("a", "c", true), of("b", "a", true), of("c", "b", true)];
        assert_eq!(planned(&all), ["a", "b", "c"].map(unlock));
        // One that is not of the circle is waited for.
        let beside = object("d", &[owned_by("b", "Service")], &[], true);
        assert_eq!(
            planned(&[&all[..], &[beside]].concat()),
            ["a", "c"].map(unlock)
        );
    }

    #[test]
    fn an_orphan_loses_its_owner_before_the_owner_goes() {
        let owner = object("a", &[], &[finalizer::ORPHAN], true);
        let child = object("b", &[owned_by("a", "Service")], &[], false);
        let owners = vec!["a".to_owned()];
        assert_eq!(
            planned(&[owner.clone(), child]),
            [("b".into(), Action::Release { owners })]
        );
        let finalizer = finalizer::ORPHAN;
        assert_eq!(
            planned(&[owner, object("b", &[], &[], false)]),
            [("a".into(), Action::Unlock { finalizer })]
        );
    }

    #[test]
    fn another_owner_keeps_an_object() {
        let owners = [owned_by("a", "Service"), owned_by("c", "Service")];
        let objects = [
            object("b", &owners, &[], false),
            object("c", &[], &[], false),
        ];
        let owners = vec!["a".to_owned()];
        assert_eq!(
            planned(&objects),
            [("b".into(), Action::Release { owners })]
        );
    }

    #[test]
    fn only_what_is_near_a_change_is_looked_at() {
        let family = |owner: &str| {
            let child = format!("{owner}-child");
            let deleting = owner == "a";
            let held: &[&str] = if deleting {
                &[finalizer::FOREGROUND]
            } else {
                &[]
            };
            [
                object(&child, &[owned_by(owner, "Service")], &[], true),
                object(owner, &[], held, deleting),
            ]
        };
        let objects = [family("a"), family("b"), family("c")].concat();
        let mut graph = graph(&objects);
        plan(&mut graph);
        assert_eq!(graph.take_touched(), BTreeSet::new());
        // What collection does not look at has changed, if anything.
        graph.put(&objects[0].0, objects[0].1.clone());
        assert_eq!(graph.take_touched(), BTreeSet::new());
        graph.remove(&objects[0].0);
        let finalizer = finalizer::FOREGROUND;
        assert_eq!(
            named(plan(&mut graph)),
            [("a".into(), Action::Unlock { finalizer })]
        );
        let (key, mut facts) = objects[3].clone();
        facts.finalizers = vec!["mine".into()];
        graph.put(&key, facts);
        let touched = graph.take_touched();
        let touched: Vec<&str> = touched.iter().map(Key::name).collect();
        assert_eq!(touched, ["b", "b-child"]);
    }

    proptest! {
        /// In whatever order objects were deleted, doing what is planned comes to an end, and then nothing waits. What was not
        /// looked at on the way has nothing coming.
        #[test]
        fn a_chain_of_owners_is_always_collected_to_the_end(length in 1_usize..6, foreground: bool, orphan in 0_usize..6) {
            let uid = |index: usize| format!("o{index}");
            let objects = (0..length).map(|index| {
                let owners = index.checked_sub(1).map(|owner| owned_by(&uid(owner), "Service"));
                object(&uid(index), owners.as_slice(), &[], false)
            });
            let objects: Vec<_> = objects.collect();
            let mut graph = graph(&objects);
            prop_assert_eq!(plan(&mut graph), vec![]);
            if foreground {
                let (key, deleted) = object(&uid(0), &[], &[finalizer::FOREGROUND], true);
                graph.put(&key, deleted);
            } else {
                graph.remove(&objects[0].0);
            }
            let mut rounds = 0;
            loop {
                let fates = plan(&mut graph);
                if fates.is_empty() {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds <= 4 * length, "it does not end: {fates:?}");
                for Fate { key, actions, .. } in fates {
                    for action in actions {
                        let Some(mut facts) = graph.get(&key).cloned() else { continue };
                        match action {
                            Action::Delete(how) => {
                                let finalizer = match how {
                                    _ if key.name() == uid(orphan) => finalizer::ORPHAN,
                                    Propagation::Foreground => finalizer::FOREGROUND,
                                    _ => { graph.remove(&key); continue }
                                };
                                facts.deletion_timestamp = Some("now".into());
                                facts.finalizers = vec![finalizer.into()];
                            }
                            Action::Release { owners } => facts.owner_references.retain(|owner| !owners.contains(&owner.uid)),
                            Action::Unlock { .. } => { graph.remove(&key); continue }
                        }
                        graph.put(&key, facts);
                    }
                }
            }
            let left: Vec<&Key> = objects.iter().map(|(key, _)| key).filter(|key| graph.get(key).is_some()).collect();
            let names: Vec<String> = left.iter().map(|key| key.name().to_owned()).collect();
            let kept: Vec<String> = (orphan.max(1) + 1..length).filter(|_| orphan > 0).map(uid).collect();
            prop_assert_eq!(names, kept);
            for key in left {
                graph.touch(key.clone());
            }
            prop_assert_eq!(plan(&mut graph), vec![]);
        }
    }
}
