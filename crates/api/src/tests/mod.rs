//! Admission as a whole: manifests in, objects or refusals out.

mod annotations;
mod config;
mod containers;
mod defaults;
mod fields;
mod limits;
mod metadata;
mod namespaces;
mod probes;
mod refusals;
mod settings;
mod traffic;
mod updates;
mod volumes;

use serde_json::{Value, json};

use crate::admit;
use crate::resource::SERVICES;

pub(super) fn service(spec: &Value) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "svc", "namespace": "default"},
        "spec": spec,
    })
}

pub(super) fn template(container: &Value) -> Value {
    service(&json!({"template": {"spec": {"containers": [container]}}}))
}

pub(super) fn refusal(mut object: Value) -> String {
    let status = admit(&SERVICES, &mut object, None).unwrap_err();
    assert_eq!(status.code, 400);
    status
        .message
        .strip_prefix("validation failed: ")
        .expect("worded as a validation")
        .to_owned()
}

/// A Service of one sound container, with further fields of it.
pub(super) fn with(fields: &Value) -> Value {
    let mut container = json!({"image": "ghcr.io/team/app"});
    merge(&mut container, fields);
    template(&container)
}

/// A Service of several containers.
pub(super) fn with_all(containers: &[Value]) -> Value {
    service(&json!({"template": {"spec": {"containers": containers}}}))
}

/// A sound Service with further fields.
pub(super) fn sound(fields: &Value) -> Value {
    let mut object = with(&json!({}));
    merge(&mut object, fields);
    object
}

fn merge(into: &mut Value, fields: &Value) {
    match (into, fields) {
        (Value::Object(into), Value::Object(fields)) => {
            for (key, value) in fields {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value.clone(),
    }
}

/// Each is refused in exactly these words.
pub(super) fn refused<S: AsRef<str>>(cases: impl IntoIterator<Item = (Value, S)>) {
    for (object, expected) in cases {
        let shown = object.to_string();
        assert_eq!(refusal(object), expected.as_ref(), "{shown}");
    }
}

/// Each is taken.
pub(super) fn taken(cases: impl IntoIterator<Item = Value>) {
    for mut object in cases {
        let shown = object.to_string();
        admit(&SERVICES, &mut object, None).unwrap_or_else(|status| panic!("{shown}: {status}"));
    }
}
