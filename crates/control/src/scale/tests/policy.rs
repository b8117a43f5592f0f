//! Annotations over the configuration.

use std::time::Duration;

use api::serving::annotation;

use super::{annotations, policy};
use crate::scale::{Aggregation, Config, Metric, Policy};

#[test]
fn without_annotations_it_is_as_configured() {
    let seconds = Duration::from_secs;
    let expected = Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target: 70.0,
        total: 100.0,
        burst_capacity: 211.0,
        stable_window: seconds(60),
        panic_window: seconds(6),
        panic_threshold: 2.0,
        max_up_rate: 1000.0,
        max_down_rate: 2.0,
        down_delay: Duration::ZERO,
        min: 0,
        max: 0,
        initial: 1,
        activation: 0,
        to_zero: true,
        grace: seconds(30),
        retention: Duration::ZERO,
        activation_timeout: seconds(630),
    };
    assert_eq!(
        Policy::of(&annotations(&[]), 0, &Config::default()),
        expected
    );
}

#[test]
fn every_annotation_goes_over_the_configuration() {
    let mut given = annotations(&[
        ("metric", "rps"),
        ("metric-aggregation-algorithm", "weighted-exponential"),
        ("target", "50"),
        ("target-utilization-percentage", "80"),
        ("target-burst-capacity", "-1"),
        ("window", "10m"),
        ("panic-window-percentage", "25"),
        ("panic-threshold-percentage", "150"),
        ("min-scale", "2"),
        ("max-scale", "9"),
        ("initial-scale", "3"),
        ("activation-scale", "4"),
        ("scale-down-delay", "1m"),
        ("scale-to-zero-pod-retention-period", "90s"),
    ]);
    given.insert(annotation::PROGRESS_DEADLINE.to_owned(), "5s".to_owned());
    let read = Policy::of(&given, 10, &Config::default());
    let seconds = Duration::from_secs;
    let expected = Policy {
        metric: Metric::Rps,
        aggregation: Aggregation::WeightedExponential,
        target: 40.0,
        total: 50.0,
        burst_capacity: -1.0,
        stable_window: seconds(600),
        panic_window: seconds(150),
        panic_threshold: 1.5,
        min: 2,
        max: 9,
        initial: 3,
        activation: 4,
        down_delay: seconds(60),
        retention: seconds(90),
        activation_timeout: seconds(35),
        ..Policy::of(&annotations(&[]), 0, &Config::default())
    };
    assert_eq!(read, expected);
    let old = annotations(&[("metricAggregationAlgorithm", "weightedExponential")]);
    let read = Policy::of(&old, 0, &Config::default());
    assert_eq!(read.aggregation, Aggregation::WeightedExponential);
}

/// Annotations and the limit of requests at once; the target and the total.
type Case<'a> = (&'a [(&'a str, &'a str)], u32, (f64, f64));

#[test]
fn targets_are_what_an_instance_is_meant_to_get_and_can_take() {
    let cases: &[Case<'_>] = &[
        (&[], 0, (70.0, 100.0)),
        (&[], 10, (7.0, 10.0)),
        (&[], 1, (0.7, 1.0)),
        (&[("target", "1")], 0, (0.7, 1.0)),
        (&[("target", "50")], 10, (7.0, 10.0)),
        (&[("target", "5")], 10, (3.5, 5.0)),
        (
            &[("target", "5"), ("target-utilization-percentage", "100")],
            10,
            (5.0, 5.0),
        ),
        (&[("target-utilization-percentage", "1")], 1, (0.01, 1.0)),
        (&[("target", "0.01")], 0, (0.01, 0.01)),
        (&[("metric", "rps")], 0, (140.0, 200.0)),
        // The limit of requests at once says nothing of how many come in a second.
        (&[("metric", "rps")], 10, (140.0, 200.0)),
        (&[("metric", "rps"), ("target", "300")], 10, (210.0, 300.0)),
        (
            &[
                ("metric", "rps"),
                ("target", "10"),
                ("target-utilization-percentage", "50"),
            ],
            0,
            (5.0, 10.0),
        ),
    ];
    for (pairs, concurrency, (target, total)) in cases {
        let read = Policy::of(&annotations(pairs), *concurrency, &Config::default());
        assert!(
            (read.target - target).abs() < 1e-9,
            "{pairs:?}: {}",
            read.target
        );
        assert!(
            (read.total - total).abs() < 1e-9,
            "{pairs:?}: {}",
            read.total
        );
    }
}

#[test]
fn a_panic_window_is_of_whole_seconds_and_at_least_one() {
    for (window, percentage, expected) in [
        ("60s", "10", 6),
        ("6s", "10", 1),
        ("6s", "1", 1),
        ("61s", "10", 6),
        ("65s", "10", 7),
        ("1h", "100", 3600),
        ("30s", "8.3", 2),
    ] {
        let pairs = [("window", window), ("panic-window-percentage", percentage)];
        assert_eq!(policy(&pairs).panic_window.as_secs(), expected, "{pairs:?}");
    }
}

#[test]
fn scales_are_bounded_by_the_configuration() {
    let config = |max, limit, initial, zero| Config {
        max_scale: max,
        max_scale_limit: limit,
        initial_scale: initial,
        allow_zero_initial_scale: zero,
        min_scale: 1,
        ..Config::default()
    };
    let cases = [
        (
            "the annotation",
            Some("5"),
            None,
            config(3, 0, 1, false),
            (5, 1),
        ),
        (
            "the configuration",
            None,
            None,
            config(3, 0, 1, false),
            (3, 1),
        ),
        (
            "the limit",
            Some("50"),
            None,
            config(3, 8, 1, false),
            (8, 1),
        ),
        (
            "the limit of what asks for none",
            Some("0"),
            None,
            config(3, 8, 1, false),
            (8, 1),
        ),
        (
            "below the limit",
            Some("7"),
            None,
            config(3, 8, 1, false),
            (7, 1),
        ),
        (
            "none to start with where that is allowed",
            None,
            Some("0"),
            config(3, 0, 1, true),
            (3, 0),
        ),
        (
            "and where it is not",
            None,
            Some("0"),
            config(3, 0, 2, false),
            (3, 2),
        ),
        ("none for all", None, None, config(3, 0, 0, true), (3, 0)),
        (
            "some where all have none",
            None,
            Some("4"),
            config(3, 0, 0, true),
            (3, 4),
        ),
    ];
    for (name, max, initial, config, expected) in cases {
        let pairs = [("max-scale", max), ("initial-scale", initial)];
        let given: Vec<_> = pairs
            .iter()
            .filter_map(|(key, value)| Some((*key, (*value)?)))
            .collect();
        let read = Policy::of(&annotations(&given), 0, &config);
        assert_eq!((read.max, read.initial), expected, "{name}");
        assert_eq!(read.min, 1, "{name}");
    }
}
