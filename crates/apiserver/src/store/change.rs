//! What a write makes of an object: the rules of Kubernetes metadata, as a pure function.
//!
//! Rules: k8s.io/apiserver `pkg/registry/rest/{create,update,delete}.go` and the custom resource strategy
//! (`apiextensions-apiserver/pkg/registry/customresource/strategy.go`): generation moves with everything but metadata and
//! status, a status write keeps the rest, a write of the rest keeps the status, a write that changes nothing is none.

use api::meta::whole_seconds;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Error, EventKind, Key, namespace};

/// A write, as data.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new object.
    Create(Value),
    /// A new object, if the namespace that it is to be in is there and not on its way out.
    CreateWithin(Value),
    /// Everything but the status. A `metadata.resourceVersion` or `metadata.uid` in it must match.
    Update(Value),
    /// The status alone, with the same preconditions; and who owns fields, if a version is named.
    UpdateStatus(Value),
    /// Removal, or with finalizers the mark that asks for it; and what becomes of what the object owns.
    Delete(Preconditions, Option<Propagation>),
}

/// What becomes of the objects that a deleted one owns. Without, it is as the finalizers of the object say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

/// Finalizers that the collection of garbage takes away (`k8s.io/apimachinery`, `meta/v1`).
pub(crate) mod finalizer {
    pub(crate) const FOREGROUND: &str = "foregroundDeletion";
    pub(crate) const ORPHAN: &str = "orphan";
}

/// What must be true of the object that is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Its `metadata.uid`.
    pub uid: Option<String>,
    /// Its `metadata.resourceVersion`.
    pub resource_version: Option<String>,
}

impl Preconditions {
    /// Whether they are true of an object with this metadata.
    pub(crate) fn check(&self, key: &Key, metadata: &Value) -> Result<(), Error> {
        let version = self.resource_version.as_deref();
        precondition(key, metadata, "UID", "uid", self.uid.as_deref())?;
        precondition(key, metadata, "ResourceVersion", "resourceVersion", version)
    }
}

/// What the world lends to a write.
pub(super) struct Circumstances {
    pub(super) now: Timestamp,
    pub(super) uid: String,
    /// The resourceVersion that the write takes if it changes anything.
    pub(super) resource_version: u64,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Nothing: the object already is what was asked for.
    Unchanged,
    /// Store this.
    Put(EventKind, Value),
    /// Remove the object; this is its last state.
    Remove(Value),
}

/// Decides what `change` makes of `current`.
pub(super) fn plan(
    key: &Key,
    current: Option<&Value>,
    change: Change,
    with: Circumstances,
) -> Result<Outcome, Error> {
    match (change, current) {
        (Change::Create(_) | Change::CreateWithin(_), Some(_)) => {
            Err(Error::AlreadyExists(key.clone()))
        }
        (Change::Create(object) | Change::CreateWithin(object), None) => create(key, object, with),
        (_, None) => Err(Error::NotFound(key.clone())),
        (Change::Update(object), Some(current)) => update(key, current, object, &with),
        (Change::UpdateStatus(object), Some(current)) => {
            update_status(key, current, &object, &with)
        }
        (Change::Delete(preconditions, propagation), Some(current)) => {
            delete(key, current, &preconditions, propagation, &with)
        }
    }
}

fn create(key: &Key, mut object: Value, with: Circumstances) -> Result<Outcome, Error> {
    let root = fields(key, &mut object)?;
    root.remove("status");
    let metadata = metadata(root);
    if !text(metadata, "resourceVersion").is_empty() {
        return Err(Error::Invalid {
            key: key.clone(),
            field: "metadata.resourceVersion",
            message: "resourceVersion should not be set on objects to be created".into(),
        });
    }
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        metadata.remove(field);
    }
    drop_empty(metadata, "managedFields");
    drop_forgotten_owners(metadata);
    metadata.insert("name".into(), key.name().into());
    if !key.namespace().is_empty() {
        metadata.insert("namespace".into(), key.namespace().into());
    }
    metadata.insert("uid".into(), with.uid.into());
    metadata.insert("creationTimestamp".into(), whole_seconds(with.now).into());
    metadata.insert("generation".into(), json!(1));
    set_resource_version(metadata, with.resource_version);
    if namespace::is(key) {
        namespace::set_phase(&mut object, namespace::ACTIVE);
    }
    Ok(Outcome::Put(EventKind::Added, object))
}

/// Metadata that only the store writes.
const KEPT: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "resourceVersion",
    "uid",
];

fn update(
    key: &Key,
    current: &Value,
    mut object: Value,
    with: &Circumstances,
) -> Result<Outcome, Error> {
    check(key, current, &named(&object))?;
    let root = fields(key, &mut object)?;
    keep(root, current, "status");
    let old = &current["metadata"];
    let new = metadata(root);
    // Whoever says nothing of owners leaves them as they are.
    drop_empty(new, "managedFields");
    if !new.contains_key("managedFields") {
        keep(new, old, "managedFields");
    }
    drop_forgotten_owners(new);
    new.remove("selfLink");
    for field in KEPT {
        keep(new, old, field);
    }
    new.insert("name".into(), key.name().into());
    if !key.namespace().is_empty() {
        new.insert("namespace".into(), key.namespace().into());
    }
    // Kubernetes leaves out what has nothing in it, and clients look whether it is there.
    for list in ["finalizers", "ownerReferences"] {
        drop_empty(new, list);
    }
    let deleting = !old["deletionTimestamp"].is_null();
    if deleting && let Some(added) = added_finalizer(old, new) {
        return Err(Error::Invalid {
            key: key.clone(),
            field: "metadata.finalizers",
            message: format!(
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
                 []string{{{added:?}}}"
            ),
        });
    }
    let unfinished = has_finalizers(new) || namespace::is(key) && namespace::is_held(&object);
    if object == *current {
        return Ok(Outcome::Unchanged);
    }
    let moved = body(&object).ne(body(current));
    let metadata = metadata(fields(key, &mut object)?);
    if moved {
        bump_generation(metadata);
    }
    set_resource_version(metadata, with.resource_version);
    Ok(if deleting && !unfinished {
        Outcome::Remove(object)
    } else {
        Outcome::Put(EventKind::Modified, object)
    })
}

fn update_status(
    key: &Key,
    current: &Value,
    object: &Value,
    with: &Circumstances,
) -> Result<Outcome, Error> {
    check(key, current, &named(object))?;
    let mut next = current.clone();
    let root = fields(key, &mut next)?;
    root.remove("status");
    keep(root, object, "status");
    // Who names a version knows who owned the fields in it.
    let owners = &object["metadata"]["managedFields"];
    if owners.is_array() && object["metadata"]["resourceVersion"].is_string() {
        let metadata = metadata(root);
        metadata.insert("managedFields".into(), owners.clone());
        drop_empty(metadata, "managedFields");
        drop_forgotten_owners(metadata);
    }
    if next == *current {
        return Ok(Outcome::Unchanged);
    }
    set_resource_version(metadata(fields(key, &mut next)?), with.resource_version);
    Ok(Outcome::Put(EventKind::Modified, next))
}

fn delete(
    key: &Key,
    current: &Value,
    preconditions: &Preconditions,
    propagation: Option<Propagation>,
    with: &Circumstances,
) -> Result<Outcome, Error> {
    let old = &current["metadata"];
    preconditions.check(key, old)?;
    let mut last = current.clone();
    let held = namespace::is(key) && namespace::is_held(current);
    if held {
        namespace::set_phase(&mut last, namespace::TERMINATING);
    }
    let metadata = metadata(fields(key, &mut last)?);
    // Nobody owns what is in a namespace by being it.
    if let Some(propagation) = propagation.filter(|_| !held) {
        propagate(metadata, propagation);
    }
    if !has_finalizers(metadata) && !held {
        set_resource_version(metadata, with.resource_version);
        return Ok(Outcome::Remove(last));
    }
    if metadata.contains_key("deletionTimestamp") {
        if metadata.get("finalizers") == old.get("finalizers") {
            return Ok(Outcome::Unchanged);
        }
        set_resource_version(metadata, with.resource_version);
        return Ok(Outcome::Put(EventKind::Modified, last));
    }
    metadata.insert("deletionTimestamp".into(), whole_seconds(with.now).into());
    metadata.insert("deletionGracePeriodSeconds".into(), json!(0));
    bump_generation(metadata);
    set_resource_version(metadata, with.resource_version);
    Ok(Outcome::Put(EventKind::Modified, last))
}

/// Leaves of the two finalizers of garbage collection the one that the deletion needs
/// (`k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `deletionFinalizersForGarbageCollection`).
fn propagate(metadata: &mut Map<String, Value>, propagation: Propagation) {
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(finalizer::FOREGROUND),
        Propagation::Orphan => Some(finalizer::ORPHAN),
    };
    let held = metadata
        .remove("finalizers")
        .and_then(|held| match held {
            Value::Array(held) => Some(held),
            _ => None,
        })
        .unwrap_or_default();
    let ours = |name: &Value| name == finalizer::FOREGROUND || name == finalizer::ORPHAN;
    let mut kept: Vec<Value> = held
        .into_iter()
        .filter(|name| !ours(name) || wanted.is_some_and(|wanted| name == wanted))
        .collect();
    if let Some(wanted) = wanted
        && !kept.iter().any(|name| name == wanted)
    {
        kept.push(wanted.into());
    }
    if !kept.is_empty() {
        metadata.insert("finalizers".into(), kept.into());
    }
}

/// The object that the caller of an update had in mind.
fn named(object: &Value) -> Preconditions {
    let field = |name: &str| {
        let text = object["metadata"][name].as_str().unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    Preconditions {
        uid: field("uid"),
        resource_version: field("resourceVersion"),
    }
}

fn check(key: &Key, current: &Value, named: &Preconditions) -> Result<(), Error> {
    let old = &current["metadata"];
    precondition(key, old, "UID", "uid", named.uid.as_deref())?;
    match &named.resource_version {
        Some(wanted) if old["resourceVersion"] != **wanted => {
            Err(Error::Modified { key: key.clone() })
        }
        _ => Ok(()),
    }
}

fn precondition(
    key: &Key,
    metadata: &Value,
    what: &'static str,
    field: &str,
    wanted: Option<&str>,
) -> Result<(), Error> {
    match wanted {
        Some(wanted) if metadata[field] != *wanted => Err(Error::Precondition {
            key: key.clone(),
            what,
            wanted: wanted.into(),
            found: metadata[field].as_str().unwrap_or_default().into(),
        }),
        _ => Ok(()),
    }
}

/// What generation counts: all but metadata and status.
fn body(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "metadata" && *name != "status")
}

fn added_finalizer(old: &Value, new: &Map<String, Value>) -> Option<String> {
    let before = old["finalizers"].as_array();
    let added = new
        .get("finalizers")?
        .as_array()?
        .iter()
        .find(|finalizer| !before.is_some_and(|before| before.contains(finalizer)))?;
    Some(added.as_str().unwrap_or_default().to_owned())
}

fn has_finalizers(metadata: &Map<String, Value>) -> bool {
    metadata
        .get("finalizers")
        .and_then(Value::as_array)
        .is_some_and(|finalizers| !finalizers.is_empty())
}

/// Removes a list that is null or has nothing in it.
fn drop_empty(metadata: &mut Map<String, Value>, field: &str) {
    let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    if metadata.get(field).is_some_and(is_empty) {
        metadata.remove(field);
    }
}

/// Removes owners of fields that are one empty entry: so a client says that nobody owns any, and an empty list says nothing
/// (Kubernetes, "Server-Side Apply", "Clearing managedFields").
fn drop_forgotten_owners(metadata: &mut Map<String, Value>) {
    if metadata.get("managedFields") == Some(&json!([{}])) {
        metadata.remove("managedFields");
    }
}

fn bump_generation(metadata: &mut Map<String, Value>) {
    let generation = metadata
        .get("generation")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    metadata.insert("generation".into(), json!(generation + 1));
}

fn set_resource_version(metadata: &mut Map<String, Value>, resource_version: u64) {
    metadata.insert(
        "resourceVersion".into(),
        resource_version.to_string().into(),
    );
}

/// Gives `field` the value that `old` has, also when that is none.
fn keep(new: &mut Map<String, Value>, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => new.insert(field.into(), value.clone()),
        None => new.remove(field),
    };
}

fn fields<'a>(key: &Key, object: &'a mut Value) -> Result<&'a mut Map<String, Value>, Error> {
    object.as_object_mut().ok_or_else(|| Error::Invalid {
        key: key.clone(),
        field: "",
        message: "must be an object".into(),
    })
}

fn metadata(root: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let metadata = root.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    match metadata {
        Value::Object(metadata) => metadata,
        _ => unreachable!("made an object just above"),
    }
}

fn text<'a>(metadata: &'a Map<String, Value>, field: &str) -> &'a str {
    metadata
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
