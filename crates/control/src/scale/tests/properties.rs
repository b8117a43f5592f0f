//! What holds whatever comes.

use std::time::Duration;

use proptest::prelude::*;

use super::{at, policy, seen};
use crate::scale::{Autoscaler, Decision, Load, Policy, Seen, State};

/// What happens between two looks: the pause, the load, and what is ready of what there should be.
#[derive(Debug, Clone, Copy)]
struct Step {
    pause: f64,
    concurrency: f64,
    queued: u32,
    /// Of a hundred.
    ready: u32,
    routed: bool,
    proxied: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let load = prop_oneof![Just(0.0), 0.0..2.0, 0.0..500.0];
    let step = (
        0.0..5.0f64,
        load,
        0u32..20,
        0u32..=100,
        any::<bool>(),
        any::<bool>(),
    );
    let step = step.prop_map(
        |(pause, concurrency, queued, ready, routed, proxied)| Step {
            pause,
            concurrency,
            queued: if queued > 15 { queued } else { 0 },
            ready,
            routed,
            proxied,
        },
    );
    prop::collection::vec(step, 1..60)
}

fn policies() -> impl Strategy<Value = Policy> {
    let counts = (0u32..4, 0u32..12, 0u32..4, 0u32..5);
    let times = (6u64..30, 0u64..20, 0u64..20, 0u64..30);
    (counts, times, 0.01..20.0f64, any::<bool>()).prop_map(
        |((min, max, initial, activation), (window, delay, retention, grace), target, to_zero)| {
            let seconds = Duration::from_secs;
            Policy {
                min,
                max: if max == 0 { 0 } else { max.max(min) },
                initial,
                activation,
                target,
                total: target / 0.7,
                stable_window: seconds(window),
                panic_window: seconds((window / 10).max(1)),
                down_delay: seconds(delay),
                retention: seconds(retention),
                grace: seconds(grace),
                to_zero,
                ..policy(&[])
            }
        },
    )
}

/// All looks, each with what was seen, and when.
fn run(policy: &Policy, proven: bool, steps: &[Step]) -> Vec<(f64, Seen, Decision)> {
    let mut autoscaler = Autoscaler::new(policy, proven);
    let (mut now, mut desired) = (0.0, 0u32);
    let look = |step: &Step| {
        now += step.pause;
        let ready = desired * step.ready / 100;
        let seen = Seen {
            ready,
            starting: desired - ready,
            queued: step.queued,
            load: Load {
                busy: Duration::from_secs_f64(step.concurrency * step.pause),
                requests: u64::from(step.concurrency > 0.0) + u64::from(step.queued),
            },
            routed: step.routed,
            proxied_since: step.proxied.then(|| at(-1e6)),
            ..seen()
        };
        let decision = autoscaler.look(&seen, policy, at(now));
        desired = decision.desired;
        (now, seen, decision)
    };
    steps.iter().map(look).collect()
}

proptest! {
    #[test]
    fn it_is_never_more_than_the_most_nor_less_than_the_least_while_routed(
        policy in policies(), proven: bool, steps in steps(),
    ) {
        for (now, seen, decision) in run(&policy, proven, &steps) {
            let (desired, why) = (decision.desired, decision.why);
            prop_assert!(policy.max == 0 || desired <= policy.max, "{now}: {desired}, {why}");
            prop_assert!(!seen.routed || desired >= policy.min, "{now}: {desired}, {why}");
        }
    }

    #[test]
    fn in_a_panic_nothing_is_taken_away(policy in policies(), steps in steps()) {
        // A delay goes over it: what it held of before the panic may go.
        let policy = Policy { down_delay: Duration::ZERO, ..policy };
        let looks = run(&policy, true, &steps);
        for pair in looks.windows(2) {
            let (before, after) = (&pair[0].2, &pair[1].2);
            // Bounds go over it, too.
            let bounded = ["MinScale", "InitialScale"].contains(&before.why.name());
            if before.panic && after.panic && !bounded {
                prop_assert!(after.desired >= before.desired, "{before:?} {after:?}");
            }
        }
    }

    #[test]
    fn zero_comes_only_when_a_window_and_the_grace_period_are_over(policy in policies(), steps in steps()) {
        let mut active = None;
        let mut inactive = None;
        for (now, seen, decision) in run(&policy, true, &steps) {
            if decision.desired == 0 {
                // It was never asked for, or it has been active for a window and inactive for the rest.
                if let Some(since) = active.take() {
                    let kept = now - since;
                    let grace = if seen.proxied_since.is_some() { 0.0 } else { policy.grace.as_secs_f64() };
                    let window = policy.stable_window.as_secs_f64();
                    prop_assert!(policy.to_zero, "{now}");
                    prop_assert!(kept + 1e-6 >= window, "{now}: {kept} of {window}");
                    let rest = now - inactive.unwrap_or(now);
                    prop_assert!(rest + 1e-6 >= grace, "{now}: {rest} of {grace}");
                }
            }
            match decision.activity.state {
                State::Active => {
                    active.get_or_insert(now);
                    inactive = None;
                }
                State::Inactive => { inactive.get_or_insert(now); }
                State::Activating => (active, inactive) = (None, None),
            }
        }
    }

    #[test]
    fn a_waiting_request_never_meets_zero(policy in policies(), proven: bool, steps in steps()) {
        for (now, seen, decision) in run(&policy, proven, &steps) {
            if seen.queued > 0 && seen.ready == 0 {
                prop_assert!(decision.desired > 0, "{now}: {}", decision.why);
            }
        }
    }

    #[test]
    fn the_same_is_decided_of_the_same(policy in policies(), proven: bool, steps in steps()) {
        prop_assert_eq!(run(&policy, proven, &steps), run(&policy, proven, &steps));
    }

    #[test]
    fn the_next_look_lies_ahead(policy in policies(), steps in steps()) {
        for (now, _, decision) in run(&policy, true, &steps) {
            prop_assert!(decision.next.is_none_or(|next| next > at(now)), "{now} {:?}", decision.next);
            prop_assert!(decision.next.is_some() || decision.desired == 0);
        }
    }
}
