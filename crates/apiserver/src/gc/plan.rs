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
//! A dependent with another owner that stays loses the reference and lives.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::store::{Key, Object, Propagation, finalizer};

/// What collection needs to know of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Facts {
    uid: String,
    deletion_timestamp: Option<String>,
    finalizers: Vec<String>,
    owner_references: Vec<Owner>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    api_version: String,
    kind: String,
    uid: String,
    block_owner_deletion: bool,
}

#[derive(Deserialize)]
struct Head {
    metadata: Facts,
}

/// What is to be done to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Delete it, if it still is the one with this uid.
    Delete { uid: String, how: Propagation },
    /// Take references to owners of these uids from it.
    Release { owners: Vec<String> },
    /// Take this finalizer from it: nothing is left to wait for.
    Unlock { finalizer: &'static str },
}

impl Facts {
    /// Nothing where the object's metadata has another shape: then nobody owns it.
    pub(super) fn of(object: &Object) -> Self {
        object
            .decode()
            .map(|Head { metadata }| metadata)
            .unwrap_or_default()
    }

    fn waits(&self, finalizer: &str) -> bool {
        self.deletion_timestamp.is_some() && self.finalizers.iter().any(|held| held == finalizer)
    }
}

/// One action for each object that has one coming. `objects` are all there are at one moment.
pub(super) fn plan(objects: &BTreeMap<Key, Facts>) -> Vec<(Key, Action)> {
    let by_uid: HashMap<&str, (&Key, &Facts)> = objects
        .iter()
        .map(|(key, facts)| (facts.uid.as_str(), (key, facts)))
        .collect();
    let owner_of = |dependent: &Key, owner: &Owner| {
        let (key, facts) = by_uid.get(owner.uid.as_str())?;
        // An owner lives beside what it owns, or in no namespace at all.
        let reachable = key.namespace().is_empty() || key.namespace() == dependent.namespace();
        reachable.then_some(*facts)
    };
    let mut actions = Vec::new();
    // Owners that something still hangs on.
    let mut blocked: HashMap<&str, bool> = HashMap::new();
    for (key, facts) in objects {
        let (mut stay, mut leave, mut orphaned, mut waiting) =
            (false, Vec::new(), Vec::new(), false);
        for reference in &facts.owner_references {
            let uid = reference.uid.as_str();
            match owner_of(key, reference) {
                Some(owner) if owner.waits(finalizer::ORPHAN) => {
                    blocked.insert(uid, true);
                    orphaned.push(reference.uid.clone());
                }
                Some(owner) if owner.waits(finalizer::FOREGROUND) => {
                    *blocked.entry(uid).or_default() |= reference.block_owner_deletion;
                    leave.push(reference.uid.clone());
                    waiting = true;
                }
                None if is_stored_here(reference) => leave.push(reference.uid.clone()),
                // It lives, or may well: nobody knows of an owner of a kind that is not kept here.
                _ => stay = true,
            }
        }
        if !orphaned.is_empty() {
            actions.push((key.clone(), Action::Release { owners: orphaned }));
        } else if stay && !leave.is_empty() {
            actions.push((key.clone(), Action::Release { owners: leave }));
        } else if !leave.is_empty() && facts.deletion_timestamp.is_none() {
            let how = if waiting {
                Propagation::Foreground
            } else {
                Propagation::Background
            };
            let uid = facts.uid.clone();
            actions.push((key.clone(), Action::Delete { uid, how }));
        }
    }
    for (key, facts) in objects {
        let is_blocked = blocked
            .get(facts.uid.as_str())
            .is_some_and(|blocked| *blocked);
        let held = [finalizer::ORPHAN, finalizer::FOREGROUND];
        if let Some(finalizer) = held.into_iter().find(|held| facts.waits(held))
            && !is_blocked
        {
            actions.push((key.clone(), Action::Unlock { finalizer }));
        }
    }
    actions
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

    fn planned(objects: &[(Key, Facts)]) -> Vec<(String, Action)> {
        let actions = plan(&objects.iter().cloned().collect());
        let named = |(key, action): (Key, Action)| (key.name().to_owned(), action);
        actions.into_iter().map(named).collect()
    }

    fn delete(uid: &str, how: Propagation) -> (String, Action) {
        let action = Action::Delete {
            uid: uid.into(),
            how,
        };
        (uid.into(), action)
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

    proptest! {
        /// In whatever order objects were deleted, doing what is planned comes to an end, and then nothing waits.
        #[test]
        fn a_chain_of_owners_is_always_collected_to_the_end(length in 1_usize..6, foreground: bool, orphan in 0_usize..6) {
            let uid = |index: usize| format!("o{index}");
            let mut objects: BTreeMap<Key, Facts> = (0..length)
                .map(|index| {
                    let owners = index.checked_sub(1).map(|owner| owned_by(&uid(owner), "Service"));
                    let held = [finalizer::FOREGROUND];
                    let deleted = index == 0;
                    let held = if deleted && foreground { &held[..] } else { &[] };
                    object(&uid(index), owners.as_slice(), held, deleted && foreground)
                })
                .collect();
            if !foreground {
                objects.retain(|key, _| key.name() != uid(0));
            }
            for _ in 0..4 * length {
                for (key, action) in plan(&objects) {
                    let Some(facts) = objects.get_mut(&key) else { continue };
                    match action {
                        Action::Delete { how, .. } => {
                            let finalizer = match how {
                                _ if key.name() == uid(orphan) => finalizer::ORPHAN,
                                Propagation::Foreground => finalizer::FOREGROUND,
                                _ => { objects.remove(&key); continue }
                            };
                            facts.deletion_timestamp = Some("now".into());
                            facts.finalizers = vec![finalizer.into()];
                        }
                        Action::Release { owners } => facts.owner_references.retain(|owner| !owners.contains(&owner.uid)),
                        Action::Unlock { .. } => { objects.remove(&key); }
                    }
                }
            }
            let left: Vec<&str> = objects.keys().map(Key::name).collect();
            let kept: Vec<String> = (orphan.max(1) + 1..length).filter(|_| orphan > 0).map(uid).collect();
            prop_assert_eq!(left, kept);
        }
    }
}
