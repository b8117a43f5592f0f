//! Admission as a whole: manifests in, objects or refusals out.

mod defaults;
mod fields;
mod refusals;

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
