//! Admission as a whole: manifests in, objects or refusals out.

use serde_json::{Value, json};

use crate::resource::SERVICES;
use crate::{admit, unknown_fields};

fn service(spec: &Value) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "svc", "namespace": "default"},
        "spec": spec,
    })
}

fn template(container: &Value) -> Value {
    service(&json!({"template": {"spec": {"containers": [container]}}}))
}

fn refusal(mut object: Value) -> String {
    let status = admit(&SERVICES, &mut object, None).unwrap_err();
    assert_eq!(status.code, 400);
    status
        .message
        .strip_prefix("validation failed: ")
        .expect("worded as a validation")
        .to_owned()
}

#[test]
fn defaults_are_set_and_setting_them_again_changes_nothing() {
    let mut once = template(&json!({"image": "a"}));
    admit(&SERVICES, &mut once, None).unwrap();
    let spec = &once["spec"]["template"]["spec"];
    assert_eq!(spec["timeoutSeconds"], 300);
    assert_eq!(spec["containerConcurrency"], 0);
    assert_eq!(spec["enableServiceLinks"], false);
    assert_eq!(spec["containers"][0]["name"], "user-container");
    assert_eq!(
        spec["containers"][0]["readinessProbe"],
        json!({"tcpSocket": {"port": 0}, "successThreshold": 1})
    );
    assert_eq!(
        once["spec"]["traffic"],
        json!([{"latestRevision": true, "percent": 100}])
    );
    let mut twice = once.clone();
    admit(&SERVICES, &mut twice, None).unwrap();
    assert_eq!(twice, once);
}

#[test]
fn refusals_are_worded_as_upstream_words_them() {
    let cases = [
        (
            template(&json!({})),
            "missing field(s): spec.template.spec.containers[0].image",
        ),
        (
            template(&json!({"image": "a", "ports": [{"name": "x", "containerPort": 80}]})),
            "Port name x is not allowed: spec.template.spec.containers[0].ports\nName must be empty, or one of: 'h2c', 'http1'",
        ),
        (
            template(
                &json!({"image": "a", "ports": [{"containerPort": 80}, {"containerPort": 81}]}),
            ),
            "more than one container port is set: spec.template.spec.containers[*].ports\nOnly a single port is allowed across all containers",
        ),
        (
            template(&json!({"image": "a", "env": [{"name": "PORT", "value": "1"}]})),
            "\"PORT\" is a reserved environment variable: spec.template.spec.containers[0].env[0].name",
        ),
        (
            service(
                &json!({"template": {"spec": {"containerConcurrency": 1001, "containers": [{"image": "a"}]}}}),
            ),
            "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency",
        ),
        (
            service(
                &json!({"template": {"spec": {"timeoutSeconds": 601, "containers": [{"image": "a"}]}}}),
            ),
            "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds",
        ),
        (
            service(
                &json!({"template": {"spec": {"containers": [{"image": "a"}]}}, "traffic": [{"latestRevision": true, "percent": 90}]}),
            ),
            "Traffic targets sum to 90, want 100: spec.traffic",
        ),
        (
            service(
                &json!({"template": {"spec": {"containers": [{"image": "a"}]}}, "traffic": [
                {"latestRevision": true, "percent": 50, "tag": "a"}, {"revisionName": "svc-00001", "percent": 50, "tag": "a"}]}),
            ),
            "Multiple definitions for \"a\": spec.traffic[0].tag, spec.traffic[1].tag",
        ),
        (
            service(
                &json!({"template": {"metadata": {"name": "foo"}, "spec": {"containers": [{"image": "a"}]}}}),
            ),
            "invalid value: \"foo\" must have prefix \"svc-\": spec.template.metadata.name",
        ),
        (
            service(
                &json!({"template": {"metadata": {"annotations": {"autoscaling.knative.dev/window": "2s"}}, "spec": {"containers": [{"image": "a"}]}}}),
            ),
            "expected 6s <= 2s <= 1h0m0s: spec.template.metadata.annotations.autoscaling.knative.dev/window",
        ),
    ];
    for (object, expected) in cases {
        assert_eq!(refusal(object), expected);
    }
}

#[test]
fn a_scale_annotation_in_the_wrong_place_is_refused() {
    let mut object = template(&json!({"image": "a"}));
    object["metadata"]["annotations"] = json!({"autoscaling.knative.dev/min-scale": "1"});
    assert!(refusal(object).starts_with(
        "invalid key name \"autoscaling.knative.dev/min-scale\": metadata.annotations\n"
    ));
}

#[test]
fn a_named_revision_must_not_change_under_its_name() {
    let named = |image: &str| {
        service(
            &json!({"template": {"metadata": {"name": "svc-a"}, "spec": {"containers": [{"image": image}]}}}),
        )
    };
    let mut old = named("a");
    admit(&SERVICES, &mut old, None).unwrap();
    let message = admit(&SERVICES, &mut named("b"), Some(&old))
        .unwrap_err()
        .message;
    assert!(message.contains(
        "Saw the following changes without a name change (-old +new): spec.template.metadata.name"
    ));
}

#[test]
fn unknown_fields_are_named_by_path() {
    let object = service(
        &json!({"tempalte": {"a": 1}, "template": {"spec": {"containers": [{"image": "a", "imagePort": 1, "args": []}]}}}),
    );
    assert_eq!(
        unknown_fields(&SERVICES, &object),
        [
            "spec.tempalte",
            "spec.template.spec.containers[0].imagePort"
        ]
    );
}

#[test]
fn a_field_of_the_wrong_type_is_a_bad_request_that_says_where() {
    let mut object = service(&json!({"template": {"spec": {"containers": "none"}}}));
    let status = admit(&SERVICES, &mut object, None).unwrap_err();
    assert_eq!(status.code, 400);
    assert!(status.message.contains("expected a sequence"), "{status}");
}
