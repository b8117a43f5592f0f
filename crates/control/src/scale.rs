//! How many instances a revision should have: a plain rule on concurrency, to and from zero.

use std::time::Duration;

use api::meta::StringMap;
use jiff::Timestamp;

const PREFIX: &str = "autoscaling.knative.dev/";
/// Share of the target that is aimed at, so that there is room while another instance starts.
const UTILISATION: f64 = 0.7;
const DEFAULT_TARGET: f64 = 100.0;
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a revision's annotations and concurrency limit ask of its scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Requests at once that one instance should get.
    pub target: f64,
    /// Fewest instances while traffic is routed to it.
    pub min: u32,
    /// Most instances; 0 is no limit.
    pub max: u32,
    /// Instances to start with, to show that it works.
    pub initial: u32,
    /// Time without a request after which it goes to zero.
    pub window: Duration,
}

impl Bounds {
    /// Reads the annotations; what is not there has its default, and what cannot be read was refused before.
    pub fn of(annotations: &StringMap, container_concurrency: u32) -> Self {
        let get = |key: &str| {
            annotations
                .get(&format!("{PREFIX}{key}"))
                .map(String::as_str)
        };
        let count = |key: &str| get(key).and_then(|text| text.parse().ok());
        let total = match (
            get("target").and_then(|text| text.parse::<f64>().ok()),
            container_concurrency,
        ) {
            (Some(target), 0) => target,
            (Some(target), limit) => target.min(f64::from(limit)),
            (None, 0) => DEFAULT_TARGET,
            (None, limit) => f64::from(limit),
        };
        let utilisation = get("target-utilization-percentage")
            .and_then(|text| text.parse::<f64>().ok())
            .map_or(UTILISATION, |percent| percent / 100.0);
        Self {
            target: (total * utilisation).max(0.01),
            min: count("min-scale").unwrap_or(0),
            max: count("max-scale").unwrap_or(0),
            initial: count("initial-scale").unwrap_or(1),
            window: get("window")
                .and_then(api::duration::parse)
                .unwrap_or(DEFAULT_WINDOW),
        }
    }
}

/// What is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Instances that answer.
    pub ready: u32,
    /// Instances on their way.
    pub starting: u32,
    /// Requests in flight and queued, on average since the last decision.
    pub concurrency: f64,
    /// Requests that wait now.
    pub queued: u32,
    /// When a request last came.
    pub last_request: Option<Timestamp>,
    /// When an instance was last asked for.
    pub wanted_since: Option<Timestamp>,
    /// Whether it was ever ready, so that the initial scale no longer holds.
    pub ever_ready: bool,
    /// Whether traffic is routed to it.
    pub routed: bool,
    /// What was asked for.
    pub bounds: Bounds,
}

/// What to do, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Instances there should be.
    pub desired: u32,
    /// For people.
    pub why: String,
}

/// Decides the number of instances.
pub fn decide(input: &Input, now: Timestamp) -> Decision {
    let present = input.ready + input.starting;
    let (wanted, why) = unbounded(input, present, now);
    let bounds = &input.bounds;
    let least = if input.routed { bounds.min } else { 0 };
    let most = if bounds.max == 0 {
        u32::MAX
    } else {
        bounds.max
    };
    if wanted < least {
        return Decision {
            desired: least.min(most),
            why: format!("min-scale {least}"),
        };
    }
    if wanted > most {
        return Decision {
            desired: most,
            why: format!("{why}, held by max-scale {most}"),
        };
    }
    Decision {
        desired: wanted,
        why,
    }
}

fn unbounded(input: &Input, present: u32, now: Timestamp) -> (u32, String) {
    let bounds = &input.bounds;
    if !input.ever_ready && bounds.initial > 0 {
        let wanted = bounds.initial.max(u32::from(input.queued > 0));
        return (wanted, format!("initial-scale {}", bounds.initial));
    }
    let load = input.concurrency.max(f64::from(input.queued));
    let by_load = (load / bounds.target).ceil() as u32;
    if by_load > present {
        return (
            by_load,
            format!(
                "{load:.1} requests at once over a target of {:.1}",
                bounds.target
            ),
        );
    }
    if by_load > 0 {
        // Going down is for the quiet window alone: an average of a second says little.
        let wanted = if quiet_for(input, now) >= bounds.window {
            by_load
        } else {
            present.max(1)
        };
        return (wanted, format!("{load:.1} requests at once"));
    }
    let quiet = quiet_for(input, now);
    if present > 0 && quiet < bounds.window {
        return (present, format!("a request came {} s ago", quiet.as_secs()));
    }
    (0, format!("no request for {} s", bounds.window.as_secs()))
}

/// Time since the last request, or since an instance was last asked for, whichever is later.
fn quiet_for(input: &Input, now: Timestamp) -> Duration {
    [input.last_request, input.wanted_since]
        .into_iter()
        .flatten()
        .max()
        .map_or(Duration::MAX, |last| {
            Duration::try_from(now.duration_since(last)).unwrap_or_default()
        })
}

/// How long to wait after so many failures in a row: 1 s, 2 s, 4 s, … 60 s.
pub fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << (failures - 1).min(6)).min(LONGEST_PAUSE),
    }
}

/// Whether an instance may be started again after failures.
pub fn may_retry(failures: u32, last_failure: Option<Timestamp>, now: Timestamp) -> bool {
    last_failure.is_none_or(|last| {
        Duration::try_from(now.duration_since(last)).unwrap_or_default() >= pause(failures)
    })
}

#[cfg(test)]
mod tests {
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
            routed: true,
            bounds: Bounds::of(&StringMap::new(), 0),
        }
    }

    #[test]
    fn decisions_follow_load_and_quiet() {
        let concurrency_of_one = Bounds::of(&StringMap::new(), 1);
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
                "initial scale",
                Input {
                    ever_ready: false,
                    ..input()
                },
                1,
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
                window: Duration::from_secs(10)
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

    #[test]
    fn failures_are_retried_ever_more_rarely() {
        assert_eq!(
            [0, 1, 2, 3, 7, 50].map(|failures| pause(failures).as_secs()),
            [0, 1, 2, 4, 60, 60]
        );
        assert!(!may_retry(2, ago(1), NOW));
        assert!(may_retry(2, ago(2), NOW));
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
}
