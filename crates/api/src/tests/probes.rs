//! Probes.

use serde_json::{Value, json};

use super::{refused, taken, with, with_all};

const AT: &str = "spec.template.spec.containers[0]";
const MOST: i32 = i32::MAX;

#[test]
fn a_probe_has_one_action() {
    let cases = [
        (
            json!({"httpGet": {}, "tcpSocket": {}}),
            &["httpGet", "tcpSocket"][..],
        ),
        (
            json!({"exec": {"command": ["x"]}, "httpGet": {}}),
            &["exec", "httpGet"],
        ),
        (
            json!({"grpc": {"port": 1}, "tcpSocket": {}}),
            &["gRPC", "tcpSocket"],
        ),
        (
            json!({"grpc": {}, "exec": {}, "httpGet": {}, "tcpSocket": {}}),
            &["exec", "gRPC", "httpGet", "tcpSocket"],
        ),
    ];
    for kind in ["readinessProbe", "livenessProbe", "startupProbe"] {
        let all = |names: &[&str]| {
            let paths: Vec<String> = names
                .iter()
                .map(|name| format!("{AT}.{kind}.{name}"))
                .collect();
            paths.join(", ")
        };
        refused(cases.iter().map(|(probe, names)| {
            let mut fields = json!({});
            fields[kind] = probe.clone();
            let mut sorted = names.to_vec();
            sorted.sort_unstable();
            (
                with(&fields),
                format!("expected exactly one, got both: {}", all(&sorted)),
            )
        }));
        // The readiness probe is given one.
        if kind != "readinessProbe" {
            let mut fields = json!({});
            fields[kind] = json!({"periodSeconds": 5});
            refused([(
                with(&fields),
                format!(
                    "expected exactly one, got neither: {}",
                    all(&["exec", "grpc", "httpGet", "tcpSocket"])
                ),
            )]);
        }
    }
}

#[test]
fn a_named_port_of_a_probe_is_the_one_that_serves() {
    let readiness =
        |probe: Value, ports: Value| with(&json!({"readinessProbe": probe, "ports": ports}));
    let none = || json!([]);
    let refusal = |name: &str, action: &str| {
        format!(
            "invalid value: {name}: {AT}.readinessProbe.{action}.port\nProbe port must match container port"
        )
    };
    refused([
        (
            readiness(json!({"httpGet": {"port": "metrics"}}), none()),
            refusal("metrics", "httpGet"),
        ),
        (
            readiness(json!({"tcpSocket": {"port": "metrics"}}), none()),
            refusal("metrics", "tcpSocket"),
        ),
        (
            readiness(
                json!({"httpGet": {"port": "http"}}),
                json!([{"containerPort": 50051, "name": "h2c"}]),
            ),
            refusal("http", "httpGet"),
        ),
        (
            readiness(
                json!({"httpGet": {"port": "8080"}}),
                json!([{"containerPort": 8080}]),
            ),
            refusal("8080", "httpGet"),
        ),
    ]);
    taken([
        readiness(json!({"httpGet": {"port": "http"}}), none()),
        readiness(
            json!({"httpGet": {"port": "h2c"}}),
            json!([{"name": "h2c"}]),
        ),
        readiness(
            json!({"tcpSocket": {"port": 9999}}),
            json!([{"containerPort": 8080}]),
        ),
        readiness(
            json!({"httpGet": {"path": "/ok", "scheme": "HTTP", "httpHeaders": [{"name": "a", "value": "b"}]}}),
            none(),
        ),
        readiness(json!({"exec": {"command": ["/bin/true"]}}), none()),
        readiness(json!({"grpc": {"port": 8080, "service": "health"}}), none()),
    ]);
}

#[test]
fn a_readiness_probe_is_tried_without_pause_or_as_kubernetes_does() {
    let at = format!("{AT}.readinessProbe");
    let readiness = |fields: Value| {
        let mut probe = fields;
        probe["tcpSocket"] = json!({"port": 8080});
        with(&json!({"readinessProbe": probe}))
    };
    refused([
        (
            readiness(json!({"periodSeconds": -2})),
            format!("expected 0 <= -2 <= {MOST}: {at}.periodSeconds"),
        ),
        (
            readiness(json!({"initialDelaySeconds": -1})),
            format!("expected 0 <= -1 <= {MOST}: {at}.initialDelaySeconds"),
        ),
        (
            readiness(json!({"successThreshold": -3})),
            format!("expected 1 <= -3 <= {MOST}: {at}.successThreshold"),
        ),
        (
            readiness(json!({"timeoutSeconds": 2})),
            format!("timeoutSeconds is disallowed when periodSeconds is zero: {at}.timeoutSeconds"),
        ),
        (
            readiness(json!({"failureThreshold": 2, "timeoutSeconds": 2})),
            format!(
                "failureThreshold is disallowed when periodSeconds is zero: {at}.failureThreshold\n\
                 timeoutSeconds is disallowed when periodSeconds is zero: {at}.timeoutSeconds"
            ),
        ),
        (
            readiness(json!({"periodSeconds": 5, "timeoutSeconds": -1})),
            format!("expected 1 <= -1 <= {MOST}: {at}.timeoutSeconds"),
        ),
        (
            readiness(json!({"periodSeconds": 5, "failureThreshold": -1})),
            format!("expected 1 <= -1 <= {MOST}: {at}.failureThreshold"),
        ),
        (
            readiness(json!({"periodSeconds": 1, "failureThreshold": -9, "timeoutSeconds": -9})),
            format!("expected 1 <= -9 <= {MOST}: {at}.failureThreshold, {at}.timeoutSeconds"),
        ),
    ]);
    taken([
        readiness(json!({})),
        readiness(json!({"initialDelaySeconds": 3, "successThreshold": 2})),
        readiness(json!({"periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 4})),
        // Of the others Kubernetes has its own words.
        with(&json!({"livenessProbe": {"httpGet": {"path": "/"}, "timeoutSeconds": 5}})),
        with(
            &json!({"startupProbe": {"tcpSocket": {}, "failureThreshold": 30, "periodSeconds": 1}}),
        ),
    ]);
}

#[test]
fn containers_beside_the_one_that_serves_are_not_probed() {
    let beside = |fields: Value| {
        let mut container = json!({"image": "beside"});
        for (key, value) in fields.as_object().unwrap() {
            container[key] = value.clone();
        }
        with_all(&[
            json!({"image": "app", "ports": [{"containerPort": 8080}]}),
            container,
        ])
    };
    let at = "spec.template.spec.containers[1]";
    refused([
        (
            beside(json!({"livenessProbe": {"tcpSocket": {"port": 5000}}})),
            format!("must not set the field(s): {at}.livenessProbe"),
        ),
        (
            beside(json!({"startupProbe": {"periodSeconds": 3, "failureThreshold": 2}})),
            format!(
                "must not set the field(s): {at}.startupProbe.failureThreshold, {at}.startupProbe.periodSeconds"
            ),
        ),
        (
            beside(json!({"readinessProbe": {"exec": {"command": ["x"]}}})),
            format!(
                "must not set the field(s): {at}.readinessProbe, {at}.readinessProbe.successThreshold"
            ),
        ),
    ]);
    taken([beside(json!({}))]);
}
