//! The cases of upstream's tests in tables of our own (knative.dev/serving `pkg/autoscaler/scaling/autoscaler_test.go` and
//! `pkg/reconciler/autoscaling/kpa/{scaler,kpa}_test.go`), journeys, and what must always hold.

mod decider;
mod journeys;
mod policy;
mod properties;
mod zero;

use api::autoscaling::PREFIX;
use api::meta::StringMap;
use jiff::Timestamp;

use super::*;

/// So many seconds after a time that is the beginning of a tick.
pub(super) fn at(seconds: f64) -> Timestamp {
    let nanos = 1_000_000_000_000_000_000 + (seconds * 1e9).round() as i128;
    Timestamp::from_nanosecond(nanos).unwrap()
}

pub(super) fn annotations(pairs: &[(&str, &str)]) -> StringMap {
    let named = pairs
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned()));
    named.collect()
}

/// What holds for a revision with these annotations.
pub(super) fn policy(pairs: &[(&str, &str)]) -> Policy {
    let config = Config {
        allow_zero_initial_scale: true,
        ..Config::default()
    };
    Policy::of(&annotations(pairs), 0, &config)
}

/// Nothing runs, nothing comes, traffic is routed here, and requests would go through the queue.
pub(super) fn seen() -> Seen {
    Seen {
        ready: 0,
        starting: 0,
        queued: 0,
        load: Load::default(),
        routed: true,
        proxied_since: Some(at(-1e6)),
        given_up: false,
    }
}
