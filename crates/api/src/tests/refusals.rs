//! The words of refusals.

use serde_json::json;

use super::{refusal, service, template};
use crate::admit;
use crate::resource::{CONFIGURATIONS, REVISIONS, ROUTES, SERVICES};

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
fn several_errors_are_told_at_once_and_same_ones_together() {
    let object = service(&json!({"template": {"spec": {
        "containerConcurrency": 1001, "hostPID": true,
        "containers": [{"image": "a", "tty": true, "env": [{"name": ""}]}]}}}));
    assert_eq!(
        refusal(object),
        "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency\n\
         missing field(s): spec.template.spec.containers[0].env[0].name\n\
         must not set the field(s): spec.template.spec.containers[0].tty, spec.template.spec.hostPID"
    );
}

#[test]
fn names_must_be_host_labels() {
    const RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                        alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
                        regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let long = "a".repeat(64);
    for (name, problem) in [
        ("Hello", RULE),
        ("1a", RULE),
        ("a.b", RULE),
        ("a-", RULE),
        (&long, "must be no more than 63 characters"),
    ] {
        let mut object = template(&json!({"image": "a"}));
        object["metadata"]["name"] = json!(name);
        assert_eq!(
            refusal(object),
            format!("not a DNS 1035 label: [{problem}]: metadata.name")
        );
    }
}

#[test]
fn annotations_of_the_autoscaler_have_bounds() {
    for (key, value, expected) in [
        ("min-scale", "-1", "expected 0 <= -1 <= 2147483647"),
        ("minScale", "x", "invalid value: x"),
        ("initial-scale", "1.5", "invalid value: 1.5"),
        (
            "activation-scale",
            "1",
            "activation-scale=1 must be greater than 1",
        ),
        ("target", "0.001", "target 0.001 should be at least 0.01"),
        ("target", "NaN", "invalid value: NaN"),
        (
            "target-utilization-percentage",
            "101",
            "expected 1 <= 101 <= 100",
        ),
        ("target-burst-capacity", "-2", "invalid value: -2"),
        (
            "panic-threshold-percentage",
            "100",
            "expected 110 <= 100 <= 1000",
        ),
        ("panic-window-percentage", "0.5", "expected 1 <= 0.5 <= 100"),
        ("window", "2h", "expected 6s <= 2h <= 1h0m0s"),
        (
            "window",
            "7.5s",
            "must be specified with at most second precision",
        ),
        ("window", "soon", "invalid value: soon"),
        ("scale-down-delay", "61m", "expected 0s <= 61m <= 1h0m0s"),
        ("metric", "latency", "invalid value: latency"),
        (
            "class",
            "hpa.autoscaling.knative.dev",
            "invalid value: hpa.autoscaling.knative.dev",
        ),
    ] {
        let mut object = template(&json!({"image": "a"}));
        object["spec"]["template"]["metadata"] =
            json!({"annotations": {format!("autoscaling.knative.dev/{key}"): value}});
        assert_eq!(
            refusal(object),
            format!("{expected}: spec.template.metadata.annotations.autoscaling.knative.dev/{key}")
        );
    }
}

#[test]
fn annotations_within_their_bounds_and_those_of_others_are_let_through() {
    let mut object = template(&json!({"image": "a"}));
    object["spec"]["template"]["metadata"] = json!({"annotations": {
        "autoscaling.knative.dev/min-scale": "0", "autoscaling.knative.dev/max-scale": "0",
        "autoscaling.knative.dev/target": "1", "autoscaling.knative.dev/window": "1m30s",
        "autoscaling.knative.dev/target-burst-capacity": "-1", "autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev",
        "serving.knative.dev/progress-deadline": "2m", "vhive.dev/memory": "reap", "example.com/x": "y"}});
    admit(&SERVICES, &mut object, None).unwrap();
    let annotations = object["spec"]["template"]["metadata"]["annotations"]
        .as_object()
        .unwrap();
    assert_eq!(annotations.len(), 9);
}

#[test]
fn more_minimum_than_maximum_is_told_of_both() {
    let mut object = template(&json!({"image": "a"}));
    object["spec"]["template"]["metadata"] = json!({"annotations": {
        "autoscaling.knative.dev/min-scale": "5", "autoscaling.knative.dev/max-scale": "1"}});
    let at = "spec.template.metadata.annotations.autoscaling.knative.dev";
    assert_eq!(
        refusal(object),
        format!("max-scale=1 is less than min-scale=5: {at}/max-scale, {at}/min-scale")
    );
}

#[test]
fn traffic_targets_must_make_sense() {
    for (target, expected) in [
        (
            json!({"revisionName": "svc-00001", "latestRevision": true, "percent": 100}),
            "may not set revisionName \"svc-00001\" when latestRevision is true: spec.traffic[0].latestRevision",
        ),
        (
            json!({"latestRevision": false, "percent": 100}),
            "may not set revisionName \"\" when latestRevision is false: spec.traffic[0].latestRevision",
        ),
        (
            json!({"configurationName": "svc", "percent": 100}),
            "must not set the field(s): spec.traffic[0].configurationName",
        ),
        (
            json!({"percent": 100, "tag": "a", "url": "http://a"}),
            "must not set the field(s): spec.traffic[0].url",
        ),
    ] {
        let object = service(
            &json!({"template": {"spec": {"containers": [{"image": "a"}]}}, "traffic": [target]}),
        );
        assert_eq!(refusal(object), expected);
    }
}

#[test]
fn probes_must_make_sense() {
    let at = "spec.template.spec.containers[0].readinessProbe";
    for (probe, expected) in [
        (
            json!({"httpGet": {"path": "/"}, "tcpSocket": {"port": 0}}),
            format!("expected exactly one, got both: {at}.httpGet, {at}.tcpSocket"),
        ),
        (
            json!({"httpGet": {"port": "admin"}}),
            format!(
                "invalid value: admin: {at}.httpGet.port\nProbe port must match container port"
            ),
        ),
        (
            json!({"failureThreshold": 3}),
            format!(
                "failureThreshold is disallowed when periodSeconds is zero: {at}.failureThreshold"
            ),
        ),
        (
            json!({"periodSeconds": -1}),
            format!("expected 0 <= -1 <= 2147483647: {at}.periodSeconds"),
        ),
    ] {
        assert_eq!(
            refusal(template(&json!({"image": "a", "readinessProbe": probe}))),
            expected
        );
    }
}

#[test]
fn a_revision_never_changes() {
    let revision = |image: &str| {
        json!({"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": {"name": "r"},
               "spec": {"containers": [{"name": "c", "image": image}]}})
    };
    let old = revision("a");
    let status = admit(&REVISIONS, &mut revision("b"), Some(&old)).unwrap_err();
    assert_eq!(
        status.message,
        "validation failed: Immutable fields changed (-old +new): spec\ncontainers[0].image:\n\t-: \"a\"\n\t+: \"b\"\n"
    );
    admit(&REVISIONS, &mut revision("a"), Some(&old)).unwrap();
}

#[test]
fn configurations_and_routes_are_checked_as_services_are() {
    let mut configuration = template(&json!({}));
    configuration["kind"] = json!("Configuration");
    let status = admit(&CONFIGURATIONS, &mut configuration, None).unwrap_err();
    assert!(
        status
            .message
            .ends_with("missing field(s): spec.template.spec.containers[0].image")
    );
    let mut route = json!({"kind": "Route", "metadata": {"name": "r"}, "spec": {"traffic": [{"percent": 100}]}});
    let status = admit(&ROUTES, &mut route, None).unwrap_err();
    assert!(
        status
            .message
            .contains("expected exactly one, got neither: spec.traffic[0].configurationName")
    );
}
