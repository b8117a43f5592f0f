//! Who set which field: `metadata.managedFields`, and server-side apply, which lives by it.
//!
//! In short (`sigs.k8s.io/structured-merge-diff`, Kubernetes' "Server-Side Apply"): whoever changes a field owns it. An update
//! takes it from others without asking. An apply says all that its manager wants: what differs from a value that another owns
//! is a conflict, unless it is forced; what the manager wanted the last time and no longer does goes, if nobody else has it.

mod fields;
mod lists;
mod merge;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use self::fields::Fields;

/// Fields that nobody owns: they name the object, or are the server's.
const NOBODYS: [&str; 11] = [
    "name",
    "namespace",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// The subresource under which the fields of a status are owned.
const STATUS: &str = "status";

/// How a manager came to own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Apply,
    Update,
}

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    manager: String,
    operation: Operation,
    /// As it was read, for versions and subresources that are kept as they are.
    raw: Value,
    fields: Fields,
}

/// A field that an apply would change and another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    /// Manager, and how it owns the field, as Kubernetes words it.
    pub(super) with: String,
    /// Path of the field.
    pub(super) field: String,
}

/// Notes in `new` what `manager` changed of `old`. What `new` says of owners counts if it says anything; a list of one empty entry
/// forgets them all. An empty list is what clients send that know nothing of owners (`k8s.io/apimachinery/pkg/util/managedfields`).
pub(super) fn note_update(old: Option<&Value>, new: &mut Value, manager: &str, now: &str) {
    let before = match new["metadata"].get("managedFields") {
        Some(Value::Array(said)) if !said.is_empty() => read(said),
        _ => old.map_or_else(Vec::new, entries),
    };
    let owned = ownable(new);
    let changed = match old {
        Some(old) => merge::changed("", &ownable(old), &owned),
        None => merge::all("", &owned),
    };
    let present = merge::all("", &owned);
    let mut after = Vec::new();
    let mut mine = None;
    for mut entry in before {
        if entry.is_of(manager, Operation::Update) {
            mine = Some(entry);
            continue;
        }
        if entry.raw.get("subresource").is_some() {
            after.push(entry);
            continue;
        }
        entry.fields = still_there(&entry.fields.without(&changed), &present);
        after.push(entry);
    }
    let mut mine = mine.unwrap_or_else(|| Entry::new(manager, Operation::Update, new));
    let fields = still_there(&mine.fields.union(&changed), &present);
    mine.set(fields, now);
    after.push(mine);
    write(new, after);
}

/// How a status was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusWrite {
    Updated,
    Applied,
}

/// Notes in `new` what `manager` changed of the status of `old`: fields of a status are owned under its subresource, beside those of
/// the rest, whatever `new` says of owners.
pub(super) fn note_status(
    old: &Value,
    new: &mut Value,
    manager: &str,
    how: StatusWrite,
    now: &str,
) {
    new["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
    let status = |object: &Value| object.get("status").map(|it| json!({"status": it}));
    let (before, after) = (status(old), status(new));
    if before == after {
        return;
    }
    let nothing = json!({});
    let (changed, present) = match &after {
        Some(after) => (
            merge::changed("", before.as_ref().unwrap_or(&nothing), after),
            merge::all("", after),
        ),
        None => <_>::default(),
    };
    let operation = match how {
        StatusWrite::Updated => Operation::Update,
        StatusWrite::Applied => Operation::Apply,
    };
    let mut all = Vec::new();
    let mut mine = Entry::new(manager, operation, new);
    mine.raw["subresource"] = STATUS.into();
    for mut entry in entries(old) {
        if entry.raw["subresource"] != STATUS {
            all.push(entry);
        } else if entry.manager == manager && entry.operation == operation {
            mine = entry;
        } else {
            entry.fields = still_there(&entry.fields.without(&changed), &present);
            all.push(entry);
        }
    }
    let fields = still_there(&mine.fields.union(&changed), &present);
    mine.set(fields, now);
    all.push(mine);
    write(new, all);
}

/// What `applied` makes of `live`, with its owners noted; `live` is Null where there is none. With `force`, fields that others
/// own are taken from them.
pub(super) fn apply(
    live: &Value,
    applied: &Value,
    manager: &str,
    force: bool,
    now: &str,
) -> Result<Value, Vec<Conflict>> {
    let wanted = merge::all("", &ownable(applied));
    let mut merged = if live.is_null() {
        applied.clone()
    } else {
        merge::over("", live, applied)
    };
    let changed = merge::changed("", &ownable(live), &ownable(&merged));
    let mut others = Vec::new();
    let mut before = Entry::new(manager, Operation::Apply, applied);
    let mut conflicts = Vec::new();
    for mut entry in entries(live) {
        if entry.is_of(manager, Operation::Apply) {
            before = entry;
            continue;
        }
        let contested = entry.fields.common(&changed).common(&wanted);
        if force {
            entry.fields = entry.fields.without(&contested);
        } else {
            let with = entry.described();
            conflicts.extend(contested.paths().into_iter().map(|field| Conflict {
                with: with.clone(),
                field,
            }));
        }
        others.push(entry);
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let kept = others
        .iter()
        .fold(wanted.clone(), |kept, other| kept.union(&other.fields));
    let gone = before.fields.without(&wanted);
    merge::remove("", &mut merged, &gone, &kept);
    before.set(wanted, now);
    others.push(before);
    write(&mut merged, others);
    Ok(merged)
}

impl Entry {
    fn new(manager: &str, operation: Operation, object: &Value) -> Self {
        let operation_name = match operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        Self {
            manager: manager.to_owned(),
            operation,
            raw: json!({
                "manager": manager, "operation": operation_name, "apiVersion": object["apiVersion"],
                "fieldsType": "FieldsV1",
            }),
            fields: Fields::default(),
        }
    }

    /// Fields of a subresource have owners of their own, which are left alone.
    fn is_of(&self, manager: &str, operation: Operation) -> bool {
        self.manager == manager
            && self.operation == operation
            && self.raw.get("subresource").is_none()
    }

    /// A time says when the fields last became others.
    fn set(&mut self, fields: Fields, now: &str) {
        if self.fields != fields || self.raw.get("time").is_none() {
            self.raw["time"] = now.into();
        }
        self.fields = fields;
    }

    fn described(&self) -> String {
        let version = self.raw["apiVersion"].as_str().unwrap_or_default();
        match self.operation {
            Operation::Apply => format!("conflict with {:?}", self.manager),
            Operation::Update => format!("conflict with {:?} using {version}", self.manager),
        }
    }
}

/// The fields of a set that an object has. A place that is a branch now counts as there.
fn still_there(fields: &Fields, present: &Fields) -> Fields {
    let mut left = Fields::default();
    if fields.owns_itself() {
        left = left.with_self();
    }
    for (step, below) in fields.steps() {
        if let Some(present) = present.get(step) {
            left.insert(step.clone(), still_there(below, present));
        }
    }
    left
}

/// The object without what nobody owns.
fn ownable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(root) = object.as_object_mut() {
        for field in ["apiVersion", "kind", "status"] {
            root.remove(field);
        }
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| !NOBODYS.contains(&field.as_str()));
            if metadata.is_empty() {
                root.remove("metadata");
            }
        }
    }
    object
}

fn entries(object: &Value) -> Vec<Entry> {
    object["metadata"]["managedFields"]
        .as_array()
        .map_or_else(Vec::new, |said| read(said))
}

fn read(said: &[Value]) -> Vec<Entry> {
    let entry = |raw: &Value| {
        let operation = match raw["operation"].as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Entry {
            manager: raw["manager"].as_str()?.to_owned(),
            operation,
            fields: Fields::from_value(&raw["fieldsV1"])?,
            raw: raw.clone(),
        })
    };
    said.iter().filter_map(entry).collect()
}

/// Writes the entries that have fields, in an order that does not depend on who was last. If none has, that is one empty entry: an
/// empty list would leave in the store what was there.
fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| {
            let subresource = entry.raw["subresource"].as_str().unwrap_or_default();
            (
                entry.operation != Operation::Apply,
                entry.manager.clone(),
                subresource.to_owned(),
            )
        };
        key(a).cmp(&key(b))
    });
    let written: Vec<Value> = entries
        .into_iter()
        .map(|mut entry| {
            entry.raw["fieldsV1"] = entry.fields.to_value();
            entry.raw
        })
        .collect();
    object["metadata"]["managedFields"] = if written.is_empty() {
        json!([{}])
    } else {
        written.into()
    };
}
