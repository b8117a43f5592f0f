//! Values seen as trees of fields: which they have, in which they differ, one laid over another, some taken out.

use serde_json::{Map, Value};

use super::{
    fields::Fields,
    lists::{is_atomic, steps},
};

/// A value taken apart into what can have an owner of its own.
enum Parts<'a> {
    Fields(&'a Map<String, Value>),
    Items(Vec<(String, &'a Value)>),
    /// One value.
    Whole,
}

/// `field` is the name under which the value stands.
fn parts<'a>(field: &str, value: &'a Value) -> Parts<'a> {
    match value {
        Value::Object(fields) if !is_atomic(field) => Parts::Fields(fields),
        Value::Array(items) => match steps(field, items) {
            Some(steps) => Parts::Items(steps.into_iter().zip(items).collect()),
            None => Parts::Whole,
        },
        _ => Parts::Whole,
    }
}

/// All fields that a value has. An item of a list, and what is empty, counts itself.
pub(super) fn all(field: &str, value: &Value) -> Fields {
    let mut set = Fields::default();
    match parts(field, value) {
        Parts::Fields(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                set.insert(format!("f:{name}"), all(name, value));
            }
        }
        Parts::Items(items) if !items.is_empty() => {
            for (step, item) in items {
                set.insert(step, all("", item).with_self());
            }
        }
        _ => return Fields::leaf(),
    }
    set
}

/// The fields of `new` that `old` has not, or has otherwise.
pub(super) fn changed(field: &str, old: &Value, new: &Value) -> Fields {
    if old == new {
        return Fields::default();
    }
    let mut set = Fields::default();
    match (parts(field, old), parts(field, new)) {
        (Parts::Fields(old), Parts::Fields(new)) => {
            for (name, value) in new {
                let below = match old.get(name) {
                    Some(before) => changed(name, before, value),
                    None => all(name, value),
                };
                set.insert(format!("f:{name}"), below);
            }
        }
        (Parts::Items(old), Parts::Items(new)) => {
            for (step, item) in new {
                let before = old.iter().find(|(known, _)| *known == step);
                let below = match before {
                    Some((_, before)) => changed("", before, item),
                    None => all("", item).with_self(),
                };
                set.insert(step, below);
            }
        }
        _ => return all(field, new),
    }
    set
}

/// `applied` laid over `live`. Lists that are told apart take the order of `applied`; what only `live` has stays in its place.
pub(super) fn over(field: &str, live: &Value, applied: &Value) -> Value {
    match (parts(field, live), parts(field, applied)) {
        (Parts::Fields(live), Parts::Fields(applied)) => {
            let mut merged = live.clone();
            for (name, value) in applied {
                let value = live
                    .get(name)
                    .map_or_else(|| value.clone(), |live| over(name, live, value));
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Parts::Items(live), Parts::Items(applied)) => {
            let mut merged = Vec::new();
            let mut pending = applied.iter().peekable();
            let lay = |(step, item): &(String, &Value)| {
                let below = live.iter().find(|(known, _)| known == step);
                below.map_or_else(|| (*item).clone(), |(_, live)| over("", live, item))
            };
            for (step, item) in &live {
                if !applied.iter().any(|(known, _)| known == step) {
                    merged.push((*item).clone());
                } else if pending.clone().any(|(known, _)| known == step) {
                    for next in pending.by_ref() {
                        merged.push(lay(next));
                        if next.0 == *step {
                            break;
                        }
                    }
                }
            }
            merged.extend(pending.map(lay));
            Value::Array(merged)
        }
        _ => applied.clone(),
    }
}

/// Takes fields out of a value. What somebody in `kept` has anything of, or below, stays; what is emptied goes, too.
pub(super) fn remove(field: &str, value: &mut Value, gone: &Fields, kept: &Fields) {
    let none = Fields::default();
    let goes = |step: &str| {
        let gone = gone.get(step)?;
        Some((gone, kept.get(step).unwrap_or(&none)))
    };
    let names = match parts(field, value) {
        Parts::Items(items) => Some(items.into_iter().map(|(step, _)| step).collect::<Vec<_>>()),
        _ => None,
    };
    match (value, names) {
        (Value::Object(fields), _) => {
            let steps: Vec<String> = fields.keys().cloned().collect();
            for name in steps {
                let Some((gone, kept)) = goes(&format!("f:{name}")) else {
                    continue;
                };
                let Some(below) = fields.get_mut(&name) else {
                    continue;
                };
                let was_empty = is_empty(below);
                remove(&name, below, gone, kept);
                let leaves = gone.owns_itself() || (is_empty(below) && !was_empty);
                if leaves && kept.is_empty() {
                    fields.remove(&name);
                }
            }
        }
        (Value::Array(items), Some(steps)) => {
            let mut steps = steps.into_iter();
            items.retain_mut(|item| {
                let Some((gone, kept)) = steps.next().as_deref().and_then(goes) else {
                    return true;
                };
                remove("", item, gone, kept);
                !(gone.owns_itself() && kept.is_empty())
            });
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
