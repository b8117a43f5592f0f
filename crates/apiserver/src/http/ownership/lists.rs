//! How lists are merged: whole, by the keys of their items, or as sets.
//!
//! As the markers in `k8s.io/api/core/v1/types.go` and `meta/v1/types.go` say. Knative leaves names of containers and numbers
//! of ports to be defaulted, so a missing key is the default.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// The keys of the items of a list, each with its default.
type Keys = &'static [(&'static str, Option<&'static str>)];

const NAME: Keys = &[("name", None)];

/// What the items of a list are told apart by.
enum Told {
    ByKeys(Keys),
    ByValue,
}

/// The lists that are not replaced as a whole, by the name of their field.
fn told(field: &str) -> Option<Told> {
    Some(match field {
        "containers" => Told::ByKeys(&[("name", Some(r#""user-container""#))]),
        "env" | "volumes" | "imagePullSecrets" | "initContainers" => Told::ByKeys(NAME),
        "ports" => Told::ByKeys(&[
            ("containerPort", Some("8080")),
            ("protocol", Some(r#""TCP""#)),
        ]),
        "volumeMounts" => Told::ByKeys(&[("mountPath", None)]),
        "conditions" => Told::ByKeys(&[("type", None)]),
        "ownerReferences" => Told::ByKeys(&[("uid", None)]),
        "finalizers" => Told::ByValue,
        _ => return None,
    })
}

/// Objects that are one value though they have fields (`x-kubernetes-map-type: atomic`).
pub(super) fn is_atomic(field: &str) -> bool {
    matches!(
        field,
        "secretKeyRef" | "configMapKeyRef" | "fieldRef" | "resourceFieldRef" | "nodeSelector"
    )
}

/// The steps to the items of a list, in their order; `None` where the list is one value, also because its items cannot be
/// told apart.
pub(super) fn steps(field: &str, items: &[Value]) -> Option<Vec<String>> {
    let told = told(field)?;
    let steps: Vec<String> = items
        .iter()
        .map(|item| step(&told, item))
        .collect::<Option<_>>()?;
    let distinct: HashSet<&String> = steps.iter().collect();
    (distinct.len() == steps.len()).then_some(steps)
}

fn step(told: &Told, item: &Value) -> Option<String> {
    match told {
        Told::ByValue => Some(format!("v:{item}")),
        Told::ByKeys(keys) => {
            let item = item.as_object()?;
            let mut found = Map::new();
            for (key, default) in *keys {
                let value = match item.get(*key) {
                    Some(value) if !value.is_null() => value.clone(),
                    _ => serde_json::from_str((*default)?).ok()?,
                };
                found.insert((*key).to_owned(), value);
            }
            Some(format!("k:{}", json!(found)))
        }
    }
}
