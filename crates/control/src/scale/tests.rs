use std::time::Duration;

use api::autoscaling::PREFIX;
use api::meta::StringMap;
use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn ago(seconds: i64) -> Option<Timestamp> {
    NOW.checked_sub(SignedDuration::from_secs(seconds)).ok()
}

fn input() -> Input {
    Input {
        ready: 0,
        starting: 0,
        concurrency: 0.0,
        queued: 0,
        last_request: None,
        wanted_since: None,
        ever_ready: true,
        failed: false,
        late: false,
        routed: true,
        bounds: Bounds::of(&StringMap::new(), 0),
    }
}

#[test]
fn decisions_follow_load_and_quiet() {
    let concurrency_of_one = Bounds::of(&StringMap::new(), 1);
    let retained = Bounds {
        retention: Duration::from_secs(30),
        ..concurrency_of_one.clone()
    };
    let at_least_two = Bounds {
        min: 2,
        ..concurrency_of_one.clone()
    };
    let several = Bounds {
        activation: 3,
        ..concurrency_of_one.clone()
    };
    let cases = [
        ("at rest", input(), 0),
        (
            "a waiting request wakes it",
            Input {
                queued: 1,
                last_request: ago(0),
                ..input()
            },
            1,
        ),
        (
            "one is enough for many",
            Input {
                queued: 60,
                last_request: ago(0),
                ..input()
            },
            1,
        ),
        (
            "more than the target needs more",
            Input {
                ready: 1,
                concurrency: 141.0,
                last_request: ago(0),
                ..input()
            },
            3,
        ),
        (
            "an instance that takes one request at a time",
            Input {
                queued: 3,
                bounds: concurrency_of_one,
                last_request: ago(0),
                ..input()
            },
            5,
        ),
        (
            "held while the window is open",
            Input {
                ready: 2,
                last_request: ago(59),
                ..input()
            },
            2,
        ),
        (
            "to zero after the window",
            Input {
                ready: 2,
                last_request: ago(60),
                ..input()
            },
            0,
        ),
        (
            "what ended by itself while in use comes back",
            Input {
                last_request: ago(59),
                ..input()
            },
            1,
        ),
        (
            "but not for ever",
            Input {
                last_request: ago(60),
                wanted_since: ago(1),
                ..input()
            },
            0,
        ),
        (
            "a request that runs on holds what it needs",
            Input {
                ready: 3,
                concurrency: 1.0,
                last_request: ago(600),
                ..input()
            },
            1,
        ),
        (
            "the last one is retained",
            Input {
                ready: 3,
                last_request: ago(89),
                bounds: retained.clone(),
                ..input()
            },
            1,
        ),
        (
            "but not where no route leads",
            Input {
                ready: 3,
                last_request: ago(89),
                bounds: retained,
                routed: false,
                ..input()
            },
            0,
        ),
        (
            "if any then several",
            Input {
                queued: 1,
                last_request: ago(0),
                bounds: several.clone(),
                ..input()
            },
            3,
        ),
        (
            "if none then none",
            Input {
                bounds: several,
                ..input()
            },
            0,
        ),
        (
            "initial scale",
            Input {
                ever_ready: false,
                ..input()
            },
            1,
        ),
        (
            "what fails at first is tried again by itself",
            Input {
                ever_ready: false,
                failed: true,
                ..input()
            },
            1,
        ),
        (
            "until its progress deadline",
            Input {
                ever_ready: false,
                failed: true,
                late: true,
                last_request: ago(1),
                bounds: at_least_two.clone(),
                ..input()
            },
            0,
        ),
        (
            "and then when a request waits",
            Input {
                ever_ready: false,
                failed: true,
                late: true,
                queued: 1,
                last_request: ago(0),
                ..input()
            },
            1,
        ),
        (
            "a deadline that passed before the first try is no failure",
            Input {
                ever_ready: false,
                late: true,
                ..input()
            },
            1,
        ),
        (
            "what was ready once is never given up",
            Input {
                failed: true,
                late: true,
                bounds: at_least_two,
                ..input()
            },
            2,
        ),
        (
            "a fresh instance without a request is kept for the window",
            Input {
                ready: 1,
                wanted_since: ago(10),
                ..input()
            },
            1,
        ),
    ];
    for (name, input, expected) in cases {
        let decision = decide(&input, NOW);
        assert_eq!(decision.desired, expected, "{name}: {}", decision.why);
    }
}

#[test]
fn annotations_bound_the_scale() {
    let annotations = [
        ("min-scale", "2"),
        ("max-scale", "3"),
        ("target", "1"),
        ("window", "10s"),
        ("initial-scale", "0"),
    ]
    .map(|(key, value)| (format!("{PREFIX}{key}"), value.to_owned()));
    let bounds = Bounds::of(&StringMap::from(annotations), 0);
    assert_eq!(
        bounds,
        Bounds {
            target: 0.7,
            min: 2,
            max: 3,
            initial: 0,
            activation: 0,
            window: Duration::from_secs(10),
            retention: Duration::ZERO,
        }
    );
    let idle = Input {
        bounds: bounds.clone(),
        ..input()
    };
    assert_eq!(decide(&idle, NOW).desired, 2);
    assert_eq!(
        decide(
            &Input {
                routed: false,
                ..idle
            },
            NOW
        )
        .desired,
        0
    );
    let busy = Input {
        queued: 50,
        bounds,
        last_request: ago(0),
        ..input()
    };
    assert_eq!(decide(&busy, NOW).desired, 3);
}

proptest! {
    #[test]
    fn the_scale_stays_within_its_bounds(
        ready in 0u32..50, starting in 0u32..50, concurrency in 0f64..1e4, queued in 0u32..1000,
        min in 0u32..5, spread in 0u32..5, quiet in proptest::option::of(0i64..200), ever_ready: bool,
    ) {
        let max = min + spread;
        let bounds = Bounds { min, max, ..Bounds::of(&StringMap::new(), 0) };
        let input = Input { ready, starting, concurrency, queued, ever_ready, bounds, last_request: quiet.and_then(ago), ..input() };
        let desired = decide(&input, NOW).desired;
        prop_assert!(desired >= min);
        prop_assert!(max == 0 || desired <= max);
    }

    #[test]
    fn a_waiting_request_never_meets_zero(ready in 0u32..3, queued in 1u32..100, ever_ready: bool) {
        let input = Input { ready, queued, ever_ready, last_request: ago(0), ..input() };
        prop_assert!(decide(&input, NOW).desired >= 1);
    }
}

/// Looks once a second at a load that changes, with instances that are ready at once; returns the wish of each second.
fn simulate(loads: impl IntoIterator<Item = f64>, bounds: &Bounds) -> Vec<u32> {
    let mut autoscaler = Autoscaler::default();
    let mut ready = 0;
    let mut last_request = None;
    let seconds = (0i64..).zip(loads);
    let wishes = seconds.map(|(second, load)| {
        let now = Timestamp::from_second(second).unwrap();
        if load > 0.0 {
            last_request = Some(now);
        }
        let seen = Input {
            ready,
            concurrency: load,
            last_request,
            bounds: bounds.clone(),
            ..input()
        };
        ready = autoscaler.decide(&seen, now).desired;
        ready
    });
    wishes.collect()
}

fn seconds(count: usize, load: f64) -> impl Iterator<Item = f64> {
    std::iter::repeat_n(load, count)
}

fn one_request_at_a_time() -> Bounds {
    Bounds {
        target: 1.0,
        ..Bounds::of(&StringMap::new(), 0)
    }
}

#[test]
fn a_peak_is_met_at_once_and_forgotten_after_the_window() {
    let loads = seconds(5, 40.0).chain(seconds(200, 2.0));
    let wishes = simulate(loads, &one_request_at_a_time());
    assert!(wishes[..64].iter().all(|wish| *wish == 40), "{wishes:?}");
    assert!(wishes[64..].iter().all(|wish| *wish == 2), "{wishes:?}");
}

#[test]
fn a_load_that_comes_and_goes_by_the_second_starts_and_stops_nothing() {
    let loads = (0..300).map(|second| if second % 2 == 0 { 10.0 } else { 4.0 });
    let wishes = simulate(loads, &one_request_at_a_time());
    assert!(wishes.iter().all(|wish| *wish == 10), "{wishes:?}");
}

#[test]
fn a_function_in_use_keeps_an_instance_and_loses_it_when_the_window_has_passed() {
    let bounds = Bounds::of(&StringMap::new(), 0);
    let wishes = simulate(seconds(1, 1.0).chain(seconds(100, 0.0)), &bounds);
    let kept = wishes.iter().take_while(|wish| **wish == 1).count();
    assert_eq!(kept, 60);
    assert!(wishes[kept..].iter().all(|wish| *wish == 0));
}

#[test]
fn the_instances_that_a_revision_starts_with_are_kept_for_the_window() {
    let bounds = Bounds {
        initial: 3,
        ..Bounds::of(&StringMap::new(), 0)
    };
    let mut autoscaler = Autoscaler::default();
    let mut wishes = |second, ready| {
        let seen = Input {
            ready,
            starting: 3 - ready,
            ever_ready: ready > 0,
            wanted_since: Some(NOW),
            bounds: bounds.clone(),
            ..input()
        };
        let now = Timestamp::from_second(second).unwrap();
        autoscaler.decide(&seen, now).desired
    };
    assert_eq!(
        [wishes(0, 0), wishes(1, 1), wishes(59, 3), wishes(60, 3)],
        [3, 3, 3, 0]
    );
}
