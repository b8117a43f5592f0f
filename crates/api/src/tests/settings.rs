//! `config-autoscaler` and `config-defaults`; the cases of the first are those of upstream's `config_test.go`, in a table of our own.

use jiff::SignedDuration;
use serde_json::json;

use crate::admission::USER;
use crate::meta::StringMap;
use crate::resource::{CONFIG_MAPS, SERVICES};
use crate::settings::{Autoscaler, Defaults, Settings, defaults};
use crate::{admit, admit_with};

fn data(pairs: &[(&str, &str)]) -> StringMap {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[test]
fn what_is_not_set_has_upstreams_defaults() {
    let read = Autoscaler::read(&data(&[("tick-interval", "2s"), ("_example", "…")])).unwrap();
    assert_eq!(read, Autoscaler::default());
    assert_eq!(
        Defaults::read(&data(&[("_example", "…")])).unwrap(),
        Defaults::default()
    );
}

#[test]
fn every_key_of_the_autoscaler_is_read() {
    let pairs = [
        ("pod-autoscaler-class", "some.class"),
        ("enable-scale-to-zero", "F"),
        ("allow-zero-initial-scale", "1"),
        ("container-concurrency-target-percentage", "0.71"),
        ("container-concurrency-target-default", "10.5"),
        ("requests-per-second-target-default", "10.11"),
        ("target-burst-capacity", "12345"),
        ("activator-capacity", "905"),
        ("stable-window", "5m"),
        ("panic-window-percentage", "12.5"),
        ("panic-threshold-percentage", "150"),
        ("max-scale-up-rate", "1.01"),
        ("max-scale-down-rate", "3.0"),
        ("scale-to-zero-grace-period", "33s"),
        ("scale-to-zero-pod-retention-period", "2m3s"),
        ("scale-down-delay", "15m"),
        ("initial-scale", "0"),
        ("min-scale", "4"),
        ("max-scale", "10"),
        ("max-scale-limit", "11"),
    ];
    let expected = Autoscaler {
        class: "some.class".to_owned(),
        scale_to_zero: false,
        allow_zero_initial_scale: true,
        concurrency_utilisation: 0.71,
        utilisation: 0.7,
        concurrency_target: 10.5,
        rps_target: 10.11,
        target_burst_capacity: 12345.0,
        activator_capacity: 905.0,
        stable_window: seconds(300),
        panic_window_percentage: 12.5,
        panic_threshold_percentage: 150.0,
        max_scale_up_rate: 1.01,
        max_scale_down_rate: 3.0,
        scale_to_zero_grace_period: seconds(33),
        scale_to_zero_pod_retention_period: seconds(123),
        scale_down_delay: seconds(900),
        initial_scale: 0,
        min_scale: 4,
        max_scale: 10,
        max_scale_limit: 11,
    };
    assert_eq!(Autoscaler::read(&data(&pairs)).unwrap(), expected);
}

#[test]
fn values_at_their_bounds_are_taken() {
    for (key, value) in [
        ("target-burst-capacity", "-1"),
        ("target-burst-capacity", "0"),
        ("max-scale-up-rate", "1.001"),
        ("activator-capacity", "1"),
        ("stable-window", "6s"),
        ("stable-window", "1h"),
        ("panic-window-percentage", "1"),
        ("panic-window-percentage", "100"),
        ("container-concurrency-target-percentage", "100"),
        ("container-concurrency-target-percentage", "0.5"),
        ("requests-per-second-target-default", "0.01"),
        ("scale-to-zero-pod-retention-period", "1ms"),
        ("enable-scale-to-zero", "TRUE"),
        ("min-scale", "4"),
        ("max-scale", "10"),
    ] {
        assert!(
            Autoscaler::read(&data(&[(key, value)])).is_ok(),
            "{key} {value}"
        );
    }
    let percent = data(&[("container-concurrency-target-percentage", "55")]);
    let share = Autoscaler::read(&percent).unwrap().concurrency_utilisation;
    assert!((share - 0.55).abs() < 1e-9);
}

#[test]
fn what_is_out_of_bounds_is_refused_in_upstreams_words() {
    let unreadable = "failed to parse data: failed to parse";
    let cases: &[(&[(&str, &str)], String)] = &[
        (
            &[("max-scale-up-rate", "not a float")],
            format!(
                "{unreadable} \"max-scale-up-rate\": strconv.ParseFloat: parsing \"not a float\": invalid syntax"
            ),
        ),
        (
            &[("max-scale-up-rate", "NaN")],
            format!(
                "{unreadable} \"max-scale-up-rate\": strconv.ParseFloat: parsing \"NaN\": invalid syntax"
            ),
        ),
        (
            &[("stable-window", "not a duration")],
            format!("{unreadable} \"stable-window\": time: invalid duration \"not a duration\""),
        ),
        (
            &[("stable-window", "60")],
            format!("{unreadable} \"stable-window\": time: missing unit in duration \"60\""),
        ),
        (
            &[("initial-scale", "invalid")],
            format!(
                "{unreadable} \"initial-scale\": strconv.ParseInt: parsing \"invalid\": invalid syntax"
            ),
        ),
        (
            &[("max-scale", "99999999999")],
            format!(
                "{unreadable} \"max-scale\": strconv.ParseInt: parsing \"99999999999\": value out of range"
            ),
        ),
        (
            &[("allow-zero-initial-scale", "invalid")],
            format!(
                "{unreadable} \"allow-zero-initial-scale\": strconv.ParseBool: parsing \"invalid\": invalid syntax"
            ),
        ),
        (
            &[("scale-down-delay", "-1m23s")],
            "scale-down-delay cannot be negative, was: -1m23s".into(),
        ),
        (
            &[("scale-down-delay", "61984ms")],
            "scale-down-delay = 1m1.984s, must be specified with at most second precision".into(),
        ),
        (
            &[("scale-to-zero-pod-retention-period", "-4m11s")],
            "scale-to-zero-pod-retention-period cannot be negative, was: -4m11s".into(),
        ),
        (
            &[("scale-to-zero-grace-period", "0s")],
            "scale-to-zero-grace-period must be positive, was: 0s".into(),
        ),
        (
            &[("target-burst-capacity", "-11")],
            "target-burst-capacity must be either non-negative or -1 (for unlimited), was: -11.000000".into(),
        ),
        (
            &[("container-concurrency-target-percentage", "-42")],
            "container-concurrency-target-percentage = -42.000000 is outside of valid range of (0, 100]".into(),
        ),
        (
            &[("container-concurrency-target-percentage", "142.4")],
            "container-concurrency-target-percentage = 1.424000 is outside of valid range of (0, 100]".into(),
        ),
        (
            &[("requests-per-second-target-default", "-5.25")],
            "requests-per-second-target-default must be at least 0.01, was: -5.25".into(),
        ),
        (
            &[("max-scale-up-rate", "1")],
            "max-scale-up-rate = 1, must be greater than 1.0".into(),
        ),
        (
            &[("max-scale-down-rate", "-55")],
            "max-scale-down-rate = -55, must be greater than 1.0".into(),
        ),
        (
            &[("max-scale-down-rate", "1")],
            "max-scale-down-rate = 1, must be greater than 1.0".into(),
        ),
        (
            &[("stable-window", "1h1s")],
            "stable-window = 1h0m1s, must be in [6s; 1h0m0s] range".into(),
        ),
        (
            &[("stable-window", "1s")],
            "stable-window = 1s, must be in [6s; 1h0m0s] range".into(),
        ),
        (
            &[("stable-window", "61984ms")],
            "stable-window = 1m1.984s, must be specified with at most second precision".into(),
        ),
        (
            &[("activator-capacity", "0.95")],
            "activator-capacity = 0.95, must be at least 1".into(),
        ),
        (
            &[("panic-window-percentage", "0.1")],
            "panic-window-percentage = 0.1, must be in [1, 100] interval".into(),
        ),
        (
            &[("stable-window", "12s"), ("panic-window-percentage", "110")],
            "panic-window-percentage = 110, must be in [1, 100] interval".into(),
        ),
        (
            &[("panic-threshold-percentage", "0")],
            "panic-threshold-percentage = 0, must be greater than 0".into(),
        ),
        (
            &[
                ("container-concurrency-target-percentage", "1"),
                ("container-concurrency-target-default", "0.001"),
            ],
            "container-concurrency-target-percentage and container-concurrency-target-default yield target concurrency of 0.001, \
             can't be less than 0.01"
                .into(),
        ),
        (
            &[("initial-scale", "0"), ("allow-zero-initial-scale", "false")],
            "initial-scale = 0, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)".into(),
        ),
        (
            &[("initial-scale", "-1"), ("allow-zero-initial-scale", "true")],
            "initial-scale = -1, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)".into(),
        ),
        (
            &[("min-scale", "-1")],
            "min-scale = -1, must be at least 0".into(),
        ),
        (
            &[("max-scale", "-1")],
            "max-scale = -1, must be in [0, max-scale-limit(0)] range".into(),
        ),
        (
            &[("max-scale", "10"), ("max-scale-limit", "9")],
            "max-scale = 10, must be in [1, max-scale-limit(9)] range".into(),
        ),
        (
            &[("max-scale", "0"), ("max-scale-limit", "11")],
            "max-scale = 0, must be in [1, max-scale-limit(11)] range".into(),
        ),
        (
            &[("max-scale-limit", "-9")],
            "max-scale-limit = -9, must be at least 0".into(),
        ),
        (
            &[("min-scale", "4"), ("max-scale", "3")],
            "min-scale (4) must be less than max-scale (3)".into(),
        ),
    ];
    for (pairs, expected) in cases {
        let error = Autoscaler::read(&data(pairs)).unwrap_err();
        assert_eq!(error.to_string(), *expected, "{pairs:?}");
    }
}

#[test]
fn every_key_of_the_defaults_is_read() {
    let pairs = [
        ("revision-timeout-seconds", "120"),
        ("max-revision-timeout-seconds", "900"),
        ("revision-response-start-timeout-seconds", "60"),
        ("revision-idle-timeout-seconds", "30"),
        ("container-name-template", "main"),
        ("init-container-name-template", "first"),
        ("container-concurrency", "8"),
        ("container-concurrency-max-limit", "80"),
        ("allow-container-concurrency-zero", "false"),
        ("enable-service-links", "TRUE"),
        ("revision-cpu-request", "400m"),
        ("revision-memory-request", "100M"),
        ("revision-ephemeral-storage-request", "500M"),
        ("revision-cpu-limit", "1000m"),
        ("revision-memory-limit", "200M"),
        ("revision-ephemeral-storage-limit", "750M"),
    ];
    let amounts = |cpu: &str, memory: &str, storage: &str| defaults::Amounts {
        cpu: Some(cpu.to_owned()),
        memory: Some(memory.to_owned()),
        ephemeral_storage: Some(storage.to_owned()),
    };
    let expected = Defaults {
        timeout_seconds: 120,
        max_timeout_seconds: 900,
        response_start_timeout_seconds: 60,
        idle_timeout_seconds: 30,
        container_name: "main".to_owned(),
        init_container_name: "first".to_owned(),
        container_concurrency: 8,
        container_concurrency_max_limit: 80,
        allow_container_concurrency_zero: false,
        enable_service_links: Some(true),
        requests: amounts("400m", "100M", "500M"),
        limits: amounts("1000m", "200M", "750M"),
    };
    assert_eq!(Defaults::read(&data(&pairs)).unwrap(), expected);
    let follows = Defaults::read(&data(&[
        ("revision-timeout-seconds", "200"),
        ("enable-service-links", "default"),
    ]))
    .unwrap();
    assert_eq!(follows.response_start_timeout_seconds, 200);
    assert_eq!(follows.enable_service_links, None);
}

#[test]
fn defaults_that_contradict_each_other_are_refused() {
    for (pairs, expected) in [
        (
            &[("revision-timeout-seconds", "601")][..],
            "revision-timeout-seconds (601) cannot be greater than max-revision-timeout-seconds (600)",
        ),
        (
            &[("revision-response-start-timeout-seconds", "301")],
            "revision-response-start-timeout-seconds (301) cannot be greater than revision-timeout-seconds (300)",
        ),
        (
            &[("revision-idle-timeout-seconds", "301")],
            "revision-idle-timeout-seconds (301) cannot be greater than revision-timeout-seconds (300)",
        ),
        (
            &[("container-concurrency-max-limit", "0")],
            "expected 1 <= 0 <= 2147483647: container-concurrency-max-limit",
        ),
        (
            &[("container-concurrency", "1001")],
            "expected 0 <= 1001 <= 1000: container-concurrency",
        ),
        (
            &[("container-concurrency", "-1")],
            "expected 0 <= -1 <= 1000: container-concurrency",
        ),
        (
            &[("revision-timeout-seconds", "asdf")],
            "failed to parse \"revision-timeout-seconds\": strconv.ParseInt: parsing \"asdf\": invalid syntax",
        ),
        (
            &[("revision-cpu-request", "bad")],
            "failed to parse \"revision-cpu-request\": quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            &[("container-name-template", "{{.Name}}")],
            "container-name-template = \"{{.Name}}\" is a template, which is not supported: write a name",
        ),
    ] {
        let error = Defaults::read(&data(pairs)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_config_map_that_the_platform_cannot_use_is_refused_where_the_platform_reads_it() {
    let admitted = |namespace: &str, name: &str| {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
            "data": {"stable-window": "1s", "container-concurrency": "-1"}});
        admit(&CONFIG_MAPS, &mut map, None)
    };
    let refused = admitted("knative-serving", "config-autoscaler").unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            400,
            "validation failed: stable-window = 1s, must be in [6s; 1h0m0s] range"
        )
    );
    let refused = admitted("knative-serving", "config-defaults").unwrap_err();
    assert_eq!(
        refused.message,
        "validation failed: expected 0 <= -1 <= 1000: container-concurrency"
    );
    assert!(admitted("knative-serving", "config-other").is_ok());
    assert!(admitted("default", "config-autoscaler").is_ok());
}

#[test]
fn what_is_configured_is_the_default_and_the_bound_of_services() {
    let settings = Settings {
        defaults: Defaults::read(&data(&[
            ("revision-timeout-seconds", "120"),
            ("max-revision-timeout-seconds", "900"),
            ("revision-response-start-timeout-seconds", "60"),
            ("revision-idle-timeout-seconds", "30"),
            ("container-name-template", "main"),
            ("container-concurrency", "8"),
            ("container-concurrency-max-limit", "80"),
            ("allow-container-concurrency-zero", "false"),
            ("enable-service-links", "true"),
            ("revision-cpu-request", "400m"),
            ("revision-memory-limit", "200M"),
        ]))
        .unwrap(),
        ..Settings::default()
    };
    let admitted = |spec: serde_json::Value| {
        let mut service = super::service(&json!({"template": {"spec": spec}}));
        admit_with(&settings, USER, &SERVICES, &mut service, None)
            .map(|()| service["spec"]["template"]["spec"].take())
            .map_err(|status| status.message)
    };
    let spec = admitted(
        json!({"containers": [{"image": "a", "resources": {"limits": {"memory": "1Gi"}}}]}),
    )
    .unwrap();
    assert_eq!(spec["containerConcurrency"], 8);
    assert_eq!(spec["timeoutSeconds"], 120);
    assert_eq!(spec["responseStartTimeoutSeconds"], 60);
    assert_eq!(spec["idleTimeoutSeconds"], 30);
    assert_eq!(spec["enableServiceLinks"], true);
    assert_eq!(spec["containers"][0]["name"], "main");
    assert_eq!(
        spec["containers"][0]["resources"],
        json!({"requests": {"cpu": "400m"}, "limits": {"memory": "1Gi"}})
    );
    let container = json!([{"image": "a"}]);
    for (field, value, expected) in [
        (
            "containerConcurrency",
            81,
            "expected 1 <= 81 <= 80: spec.template.spec.containerConcurrency",
        ),
        (
            "containerConcurrency",
            0,
            "expected 1 <= 0 <= 80: spec.template.spec.containerConcurrency",
        ),
        (
            "timeoutSeconds",
            901,
            "expected 0 <= 901 <= 900: spec.template.spec.timeoutSeconds",
        ),
    ] {
        let refused = admitted(json!({"containers": container, field: value})).unwrap_err();
        assert_eq!(refused, format!("validation failed: {expected}"));
    }
}

#[test]
fn what_is_configured_bounds_annotations() {
    let settings = Settings {
        autoscaler: Autoscaler::read(&data(&[("max-scale", "3"), ("max-scale-limit", "9")]))
            .unwrap(),
        ..Settings::default()
    };
    let path = "spec.template.metadata.annotations.autoscaling.knative.dev";
    for (name, value, expected) in [
        (
            "max-scale",
            "10",
            format!("expected 1 <= 10 <= 9: {path}/max-scale"),
        ),
        (
            "max-scale",
            "0",
            format!("max-scale=0 (unlimited), must be less than 9: {path}/max-scale"),
        ),
        (
            "initial-scale",
            "0",
            format!("invalid value: 0: {path}/initial-scale=0 not allowed by cluster"),
        ),
    ] {
        let mut service = super::with(&json!({}));
        let key = format!("autoscaling.knative.dev/{name}");
        service["spec"]["template"]["metadata"] = json!({"annotations": {key: value}});
        let refused = admit_with(&settings, USER, &SERVICES, &mut service, None).unwrap_err();
        assert_eq!(refused.message, format!("validation failed: {expected}"));
    }
}
