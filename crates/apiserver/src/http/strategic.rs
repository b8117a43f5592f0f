//! Strategic merge patches, which `kubectl` makes of kinds that it has been built with: a merge patch that knows which lists are sets.
//!
//! The rules are those of k8s.io/apimachinery `pkg/util/strategicpatch`; the lists, of `metav1.ObjectMeta`. In Kubernetes, custom
//! resources have no such patches, and neither do they here.

use serde_json::{Map, Value};

/// In a map or a member of a list: `replace`, `delete` or `merge`.
const PATCH: &str = "$patch";
/// Begins the name of a field that says which members leave a list of texts.
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// How a list is merged; all others are replaced.
#[derive(Clone, Copy)]
enum List {
    /// Of texts, each at most once.
    Texts,
    /// Of objects that are told apart by this field.
    ByKey(&'static str),
}

fn list(parent: &str, field: &str) -> Option<List> {
    match (parent, field) {
        ("metadata", "finalizers") => Some(List::Texts),
        ("metadata", "ownerReferences") => Some(List::ByKey("uid")),
        _ => None,
    }
}

/// Merges `patch` into `object`.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => merge_maps(object, patch, ""),
        other => *object = other.clone(),
    }
}

fn merge_maps(object: &mut Value, patch: &Map<String, Value>, name: &str) {
    if !object.is_object() || patch.get(PATCH).is_some_and(|it| it == "replace") {
        *object = Value::Object(Map::new());
    }
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    for (field, value) in patch {
        if let Some(field) = field.strip_prefix(DELETE_FROM) {
            if let Some(Value::Array(members)) = fields.get_mut(field) {
                let leaving = value.as_array().map(Vec::as_slice).unwrap_or_default();
                members.retain(|member| !leaving.contains(member));
            }
            continue;
        }
        // The order of members is nobody's concern in these lists.
        if field.starts_with('$') {
            continue;
        }
        match value {
            Value::Null => drop(fields.remove(field)),
            Value::Object(inner) if inner.get(PATCH).is_some_and(|it| it == "delete") => {
                fields.remove(field);
            }
            Value::Object(inner) => {
                merge_maps(fields.entry(field).or_insert(Value::Null), inner, field);
            }
            Value::Array(members) => match list(name, field) {
                Some(kind) => {
                    merge_lists(fields.entry(field).or_insert(Value::Null), members, kind);
                }
                None => drop(fields.insert(field.clone(), value.clone())),
            },
            _ => drop(fields.insert(field.clone(), value.clone())),
        }
    }
}

fn merge_lists(list: &mut Value, patch: &[Value], kind: List) {
    if !list.is_array() || patch.iter().any(|it| it[PATCH] == "replace") {
        *list = Value::Array(Vec::new());
    }
    let Some(members) = list.as_array_mut() else {
        return;
    };
    for member in patch {
        let same = |it: &Value| match kind {
            List::Texts => it == member,
            List::ByKey(key) => it[key] == member[key],
        };
        let at = members.iter().position(same);
        match (&member[PATCH], at, member) {
            (directive, Some(at), _) if directive == "delete" => drop(members.remove(at)),
            (directive, ..) if directive == "delete" || directive == "replace" => {}
            (_, Some(at), Value::Object(fields)) => merge_maps(&mut members[at], fields, ""),
            (_, Some(_), _) => {}
            (_, None, _) => members.push(member.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_are_merged_and_sets_are_united() {
        let owners = json!([{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]);
        let object = json!({
            "metadata": {"labels": {"x": "1", "y": "2"}, "finalizers": ["f", "g"], "ownerReferences": owners},
            "data": {"a": "1", "b": "2"},
        });
        let owners =
            |first: &Value, rest: &[Value]| json!([[first.clone()].as_slice(), rest].concat());
        let second = json!({"uid": "2", "name": "b"});
        for (patch, pointer, expected) in [
            (
                json!({"data": {"a": null, "c": "3"}}),
                "/data",
                json!({"b": "2", "c": "3"}),
            ),
            (
                json!({"data": {"$patch": "replace", "c": "3"}}),
                "/data",
                json!({"c": "3"}),
            ),
            (
                json!({"metadata": {"labels": {"$patch": "delete"}}}),
                "/metadata/labels",
                Value::Null,
            ),
            (
                json!({"metadata": {"finalizers": ["g", "h"], "$setElementOrder/finalizers": ["h", "g"]}}),
                "/metadata/finalizers",
                json!(["f", "g", "h"]),
            ),
            (
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["f"]}}),
                "/metadata/finalizers",
                json!(["g"]),
            ),
            (
                json!({"metadata": {"ownerReferences": [{"uid": "1", "controller": true}, {"uid": "3"}]}}),
                "/metadata/ownerReferences",
                owners(
                    &json!({"uid": "1", "name": "a", "controller": true}),
                    &[second.clone(), json!({"uid": "3"})],
                ),
            ),
            (
                json!({"metadata": {"ownerReferences": [{"uid": "1", "$patch": "delete"}]}}),
                "/metadata/ownerReferences",
                json!([second]),
            ),
            (
                json!({"metadata": {"ownerReferences": [{"$patch": "replace"}, {"uid": "9"}]}}),
                "/metadata/ownerReferences",
                json!([{"uid": "9"}]),
            ),
            (json!({"immutable": true}), "/immutable", json!(true)),
        ] {
            let mut patched = object.clone();
            merge(&mut patched, &patch);
            let found = patched.pointer(pointer).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{patch}");
            // All else is as it was.
            let field = pointer.split('/').nth(1).unwrap_or_default();
            let other = if field == "data" { "metadata" } else { "data" };
            assert_eq!(patched[other], object[other], "{patch}");
        }
    }

    #[test]
    fn other_lists_are_replaced() {
        let mut object = json!({"list": [1, 2], "finalizers": ["a"]});
        merge(&mut object, &json!({"list": [3], "finalizers": ["b"]}));
        assert_eq!(object, json!({"list": [3], "finalizers": ["b"]}));
    }
}
