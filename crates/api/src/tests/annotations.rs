//! Annotations with a meaning.

use serde_json::{Value, json};

use super::{refused, sound, taken};

const AT: &str = "spec.template.metadata.annotations";

/// A Service whose template has these annotations of the autoscaler.
fn scaled(pairs: &[(&str, &str)]) -> Value {
    let prefixed: Vec<(String, &str)> = pairs
        .iter()
        .map(|(name, value)| (format!("autoscaling.knative.dev/{name}"), *value))
        .collect();
    let pairs: Vec<(&str, &str)> = prefixed
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    annotated(&pairs)
}

/// A Service whose template has these annotations.
fn annotated(pairs: &[(&str, &str)]) -> Value {
    let annotations: serde_json::Map<String, Value> = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    sound(&json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}))
}

#[test]
fn each_annotation_of_the_autoscaler_has_its_bounds() {
    let most = i32::MAX;
    let scale = |value: &str| format!("expected 0 <= {value} <= {most}");
    let invalid = |value: &str| format!("invalid value: {value}");
    let second = || "must be specified with at most second precision".to_owned();
    let cases = [
        ("min-scale", "-3", scale("-3")),
        ("min-scale", "2147483648", scale("2147483648")),
        ("min-scale", "-9999999999", scale("-9999999999")),
        ("min-scale", "two", invalid("two")),
        ("min-scale", "", invalid("")),
        ("min-scale", "1.0", invalid("1.0")),
        ("minScale", "-3", scale("-3")),
        ("max-scale", "-1", scale("-1")),
        ("max-scale", "lots", invalid("lots")),
        ("maxScale", "0x10", invalid("0x10")),
        ("initial-scale", "few", invalid("few")),
        ("initialScale", "", invalid("")),
        ("activation-scale", "none", invalid("none")),
        (
            "activation-scale",
            "0",
            "activation-scale=0 must be greater than 1".to_owned(),
        ),
        (
            "activation-scale",
            "-4",
            "min-scale=0 is greater than activation-scale=-4".to_owned(),
        ),
        ("target", "0", "target 0 should be at least 0.01".to_owned()),
        (
            "target",
            "-1",
            "target -1 should be at least 0.01".to_owned(),
        ),
        ("target", "a lot", invalid("a lot")),
        (
            "target-utilization-percentage",
            "0.9",
            "expected 1 <= 0.9 <= 100".to_owned(),
        ),
        (
            "targetUtilizationPercentage",
            "100.5",
            "expected 1 <= 100.5 <= 100".to_owned(),
        ),
        ("target-utilization-percentage", "70%", invalid("70%")),
        ("target-burst-capacity", "-0.5", invalid("-0.5")),
        ("targetBurstCapacity", "x", invalid("x")),
        (
            "panic-window-percentage",
            "0",
            "expected 1 <= 0 <= 100".to_owned(),
        ),
        (
            "panicWindowPercentage",
            "101",
            "expected 1 <= 101 <= 100".to_owned(),
        ),
        ("panic-window-percentage", "10%", invalid("10%")),
        (
            "panic-threshold-percentage",
            "109.9",
            "expected 110 <= 109.9 <= 1000".to_owned(),
        ),
        (
            "panicThresholdPercentage",
            "1001",
            "expected 110 <= 1001 <= 1000".to_owned(),
        ),
        ("panic-threshold-percentage", "high", invalid("high")),
        ("window", "5s", "expected 6s <= 5s <= 1h0m0s".to_owned()),
        ("window", "-1m", "expected 6s <= -1m <= 1h0m0s".to_owned()),
        ("window", "61m", "expected 6s <= 61m <= 1h0m0s".to_owned()),
        ("window", "60", invalid("60")),
        ("window", "6s1ms", second()),
        (
            "scale-down-delay",
            "-1s",
            "expected 0s <= -1s <= 1h0m0s".to_owned(),
        ),
        (
            "scaleDownDelay",
            "1h1s",
            "expected 0s <= 1h1s <= 1h0m0s".to_owned(),
        ),
        ("scale-down-delay", "1500ms", second()),
        ("scale-down-delay", "later", invalid("later")),
        (
            "scale-to-zero-pod-retention-period",
            "-5s",
            "expected 0s <= -5s <= 1h0m0s".to_owned(),
        ),
        (
            "scaleToZeroPodRetentionPeriod",
            "2h",
            "expected 0s <= 2h <= 1h0m0s".to_owned(),
        ),
        (
            "scale-to-zero-pod-retention-period",
            "soon",
            invalid("soon"),
        ),
        ("metric", "cpu", invalid("cpu")),
        ("metric", "", invalid("")),
        ("metric", "RPS", invalid("RPS")),
        ("class", "other.knative.dev", invalid("other.knative.dev")),
        ("class", "kpa", invalid("kpa")),
    ];
    refused(cases.into_iter().map(|(name, value, expected)| {
        (
            scaled(&[(name, value)]),
            format!("{expected}: {AT}.autoscaling.knative.dev/{name}"),
        )
    }));
}

#[test]
fn what_is_within_the_bounds_is_taken() {
    for (name, value) in [
        ("min-scale", "0"),
        ("min-scale", "+2"),
        ("max-scale", "2147483647"),
        ("initial-scale", "0"),
        ("activation-scale", "2"),
        // Not its name, and so nobody's.
        ("activationScale", "none"),
        ("target", "0.01"),
        ("target", "1e3"),
        ("target-utilization-percentage", "1"),
        ("target-burst-capacity", "0"),
        ("target-burst-capacity", "-1.0"),
        ("panic-window-percentage", "1.5"),
        ("panic-threshold-percentage", "1000.0"),
        ("window", "6s"),
        ("window", "1h"),
        ("scale-down-delay", "0"),
        ("scale-down-delay", "0.5h"),
        ("scale-to-zero-pod-retention-period", "1.5s"),
        ("metric", "rps"),
        ("class", "kpa.autoscaling.knative.dev"),
        // It is looked at where the class is written out.
        ("metric-aggregation-algorithm", "cubic"),
    ] {
        taken([scaled(&[(name, value)])]);
    }
}

#[test]
fn annotations_are_checked_against_each_other() {
    let at = |name: &str| format!("{AT}.autoscaling.knative.dev/{name}");
    let (min, max, activation) = (at("min-scale"), at("max-scale"), at("activation-scale"));
    refused([
        (
            scaled(&[("min-scale", "3"), ("max-scale", "2")]),
            format!("max-scale=2 is less than min-scale=3: {max}, {min}"),
        ),
        (
            // Told under the names that they should have.
            scaled(&[("minScale", "3"), ("maxScale", "2")]),
            format!("max-scale=2 is less than min-scale=3: {max}, {min}"),
        ),
        (
            scaled(&[
                ("min-scale", "3"),
                ("max-scale", "9"),
                ("activation-scale", "2"),
            ]),
            format!("min-scale=3 is greater than activation-scale=2: {activation}"),
        ),
        (
            scaled(&[("max-scale", "4"), ("activation-scale", "5")]),
            format!("max-scale=4 is less than activation-scale=5: {activation}"),
        ),
        (
            scaled(&[("min-scale", "-1"), ("max-scale", "-1")]),
            format!("expected 0 <= -1 <= 2147483647: {max}, {min}"),
        ),
        (
            scaled(&[("initial-scale", "-2")]),
            format!(
                "invalid value: -2: {} must be greater than 0",
                at("initial-scale")
            ),
        ),
        (
            scaled(&[
                ("class", "kpa.autoscaling.knative.dev"),
                ("metricAggregationAlgorithm", "cubic"),
            ]),
            format!("invalid value: cubic: {}", at("metricAggregationAlgorithm")),
        ),
        (
            scaled(&[("window", "1s"), ("scale-down-delay", "x"), ("metric", "x")]),
            format!(
                "expected 6s <= 1s <= 1h0m0s: {}\ninvalid value: x: {}, {}",
                at("window"),
                at("metric"),
                at("scale-down-delay")
            ),
        ),
    ]);
    taken([
        scaled(&[("min-scale", "3"), ("max-scale", "0")]),
        scaled(&[
            ("min-scale", "2"),
            ("max-scale", "2"),
            ("activation-scale", "2"),
        ]),
        scaled(&[
            ("class", "kpa.autoscaling.knative.dev"),
            ("metric-aggregation-algorithm", "weighted-exponential"),
        ]),
    ]);
}

#[test]
fn annotations_of_a_template_that_are_not_the_autoscalers_are_checked_too() {
    let deadline = "serving.knative.dev/progress-deadline";
    let queue = "queue.sidecar.serving.knative.dev";
    refused([
        (
            annotated(&[(deadline, "a while")]),
            format!("invalid value: a while: {AT}.{deadline}"),
        ),
        (
            annotated(&[(deadline, "1.5s")]),
            format!("progress-deadline=1.5s is not at second precision: {AT}.{deadline}"),
        ),
        (
            annotated(&[(deadline, "-10s")]),
            format!("progress-deadline=-10s must be positive: {AT}.{deadline}"),
        ),
        (
            annotated(&[("networking.knative.dev/speed", "high")]),
            format!("invalid key name \"networking.knative.dev/speed\": {AT}"),
        ),
        (
            annotated(&[(&format!("{queue}/resource-percentage"), "none")]),
            format!("invalid value: none: {AT}.[{queue}/resource-percentage]"),
        ),
        (
            annotated(&[(&format!("{queue}/resourcePercentage"), "0.05")]),
            format!("expected 0.1 <= 0.05 <= 100: {AT}.[{queue}/resourcePercentage]"),
        ),
        (
            annotated(&[(&format!("{queue}/cpu-resource-request"), "fast")]),
            format!("invalid value: fast: {AT}.[{queue}/cpu-resource-request]"),
        ),
        (
            annotated(&[
                (&format!("{queue}/memory-resource-limit"), "?"),
                (&format!("{queue}/memory-resource-request"), "?"),
            ]),
            format!(
                "invalid value: ?: {AT}.[{queue}/memory-resource-limit], {AT}.[{queue}/memory-resource-request]"
            ),
        ),
    ]);
    taken([
        annotated(&[(deadline, "0s")]),
        annotated(&[(deadline, "")]),
        annotated(&[
            ("networking.knative.dev/ingress-class", "x"),
            ("networking.knative.dev/httpOption", "x"),
        ]),
        annotated(&[
            (&format!("{queue}/resource-percentage"), "40"),
            (&format!("{queue}/ephemeral-storage-resource-limit"), "1Gi"),
        ]),
        annotated(&[("example.com/anything", "goes")]),
    ]);
}

#[test]
fn annotations_of_a_service_are_checked() {
    let on_service = |pairs: &[(&str, &str)]| {
        let annotations: serde_json::Map<String, Value> = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        sound(&json!({"metadata": {"annotations": annotations}}))
    };
    let at = "metadata.annotations";
    let rollout = "serving.knative.dev/rollout-duration";
    let old = "serving.knative.dev/rolloutDuration";
    let misplaced =
        r#"autoscaling annotations must be put under "spec.template.metadata.annotations" to work"#;
    refused([
        (
            on_service(&[(rollout, "slowly")]),
            format!("invalid value: slowly: {at}.{rollout}"),
        ),
        (
            on_service(&[(rollout, "90")]),
            format!("invalid value: 90: {at}.{rollout}"),
        ),
        (
            on_service(&[(rollout, "1m0.5s")]),
            format!("rollout-duration=1m0.5s is not at second precision: {at}.{rollout}"),
        ),
        (
            on_service(&[(rollout, "-1h")]),
            format!("rollout-duration=-1h must be positive: {at}.{rollout}"),
        ),
        (
            on_service(&[(old, "-2s")]),
            format!("rollout-duration=-2s must be positive: {at}.{old}"),
        ),
        (
            on_service(&[("autoscaling.knative.dev/max-scale", "1")]),
            format!("invalid key name \"autoscaling.knative.dev/max-scale\": {at}\n{misplaced}"),
        ),
        (
            on_service(&[
                ("autoscaling.knative.dev/window", "60s"),
                ("autoscaling.knative.dev/target", "5"),
            ]),
            format!(
                "invalid key name \"autoscaling.knative.dev/target\": {at}\n{misplaced}\n\
                 invalid key name \"autoscaling.knative.dev/window\": {at}\n{misplaced}"
            ),
        ),
    ]);
    taken([
        on_service(&[(rollout, "0s")]),
        on_service(&[(rollout, "2m30s")]),
        on_service(&[(rollout, "")]),
        on_service(&[("networking.knative.dev/speed", "high")]),
    ]);
}
