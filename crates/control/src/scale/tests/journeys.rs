//! Revisions under a load, second by second, with instances that are ready at once.

use std::time::Duration;

use super::{at, policy, seen};
use crate::scale::{Autoscaler, Decision, Load, Policy, Seen, State};

struct Journey {
    policy: Policy,
    autoscaler: Autoscaler,
    now: f64,
    ready: u32,
}

impl Journey {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let policy = policy(pairs);
        Self {
            autoscaler: Autoscaler::new(&policy, true),
            policy,
            now: 0.0,
            ready: 0,
        }
    }

    fn look(&mut self, edit: impl FnOnce(&mut Seen)) -> Decision {
        let mut seen = Seen {
            ready: self.ready,
            ..seen()
        };
        edit(&mut seen);
        let decision = self.autoscaler.look(&seen, &self.policy, at(self.now));
        self.ready = decision.desired;
        decision
    }

    /// So many seconds of so many requests at once, as one new request each second; the wish of each second.
    fn seconds(&mut self, count: usize, concurrency: f64) -> Vec<u32> {
        let second = |_| {
            self.now += 1.0;
            let requests = u64::from(concurrency > 0.0);
            let busy = Duration::from_secs_f64(concurrency);
            self.look(|seen| seen.load = Load { busy, requests })
                .desired
        };
        (0..count).map(second).collect()
    }

    /// The first request to what is at zero.
    fn wake(&mut self, queued: u32) -> Decision {
        self.look(|seen| {
            seen.queued = queued;
            seen.load.requests = u64::from(queued);
        })
    }
}

#[test]
fn a_request_wakes_it_and_it_sleeps_again_after_the_window() {
    let mut journey = Journey::new(&[]);
    assert_eq!(journey.look(|_| ()).desired, 0);
    let woken = journey.wake(1);
    assert_eq!((woken.desired, woken.why.name()), (1, "Waiting"));
    assert_eq!(woken.activity.state, State::Activating);
    journey.seconds(1, 0.5);
    let wishes = journey.seconds(90, 0.0);
    let kept = wishes.iter().take_while(|wish| **wish == 1).count();
    assert!((60..=63).contains(&kept), "{kept}");
    assert!(wishes[kept..].iter().all(|wish| *wish == 0));
}

#[test]
fn a_request_now_and_then_keeps_it() {
    let mut journey = Journey::new(&[]);
    journey.wake(1);
    for _ in 0..10 {
        journey.seconds(1, 0.1);
        assert!(journey.seconds(55, 0.0).iter().all(|wish| *wish == 1));
    }
}

#[test]
fn after_a_long_sleep_the_first_requests_count_as_if_there_had_been_none() {
    let mut journey = Journey::new(&[("target", "10"), ("target-utilization-percentage", "100")]);
    journey.wake(1);
    journey.seconds(1, 1.0);
    journey.seconds(99, 0.0);
    assert_eq!(journey.ready, 0);
    journey.now += 10_000.0;
    assert_eq!(journey.wake(40).desired, 4);
    assert_eq!(journey.seconds(3, 40.0), [4, 4, 4]);
}

#[test]
fn one_steady_request_at_a_target_of_one_needs_two_instances() {
    let mut journey = Journey::new(&[("target", "1")]);
    assert_eq!(journey.wake(1).desired, 2);
    assert!(
        journey.seconds(200, 1.0)[70..]
            .iter()
            .all(|wish| *wish == 2)
    );
}

#[test]
fn a_burst_is_met_within_a_tick_and_held_for_a_window() {
    let mut journey = Journey::new(&[("target", "10"), ("target-utilization-percentage", "100")]);
    journey.wake(1);
    journey.seconds(70, 5.0);
    let rising = journey.seconds(8, 200.0);
    assert!(*rising.last().unwrap() >= 20, "{rising:?}");
    let held = journey.seconds(50, 5.0);
    assert!(held.iter().all(|wish| *wish >= 20), "{held:?}");
    let falling = journey.seconds(100, 5.0);
    assert_eq!(*falling.last().unwrap(), 1, "{falling:?}");
}

#[test]
fn it_goes_down_by_half_each_tick() {
    let mut journey = Journey::new(&[
        ("target", "1"),
        ("target-utilization-percentage", "100"),
        ("window", "6s"),
    ]);
    journey.wake(1);
    journey.seconds(60, 32.0);
    let mut falling = journey.seconds(60, 0.0);
    falling.dedup();
    assert!(falling.ends_with(&[22, 11, 5, 2, 1, 0]), "{falling:?}");
}

#[test]
fn requests_a_second_scale_it_too() {
    let mut journey = Journey::new(&[
        ("metric", "rps"),
        ("target", "10"),
        ("target-utilization-percentage", "100"),
    ]);
    journey.wake(1);
    for _ in 0..80 {
        journey.now += 1.0;
        journey.look(|seen| seen.load.requests = 35);
    }
    assert_eq!(journey.ready, 4);
}

#[test]
fn between_ticks_the_wish_stays() {
    let mut journey = Journey::new(&[("target", "1")]);
    journey.now = 0.1;
    journey.wake(1);
    journey.now = 1.9;
    let load = Load {
        busy: Duration::from_secs(90),
        requests: 50,
    };
    let decision = journey.look(|seen| seen.load = load);
    assert_eq!(decision.desired, 2, "the tick is not over");
    assert_eq!(decision.next, Some(at(2.0)));
    journey.now = 2.0;
    assert!(journey.look(|_| ()).desired > 50);
}

#[test]
fn what_sleeps_needs_no_look() {
    let mut journey = Journey::new(&[]);
    assert_eq!(journey.look(|_| ()).next, None);
}

#[test]
fn a_clock_that_was_set_back_neither_freezes_nor_starts_anything() {
    let mut journey = Journey::new(&[("target", "1")]);
    journey.wake(1);
    journey.seconds(100, 3.0);
    let before = journey.ready;
    journey.now -= 3600.0;
    assert_eq!(journey.seconds(1, 3.0), [before]);
    journey.seconds(100, 3.0);
    assert_eq!(journey.ready, before);
    let falling = journey.seconds(140, 0.0);
    assert_eq!(*falling.last().unwrap(), 0, "{falling:?}");
}

#[test]
fn a_window_that_changes_holds_from_then_on() {
    let mut journey = Journey::new(&[("window", "10m")]);
    journey.wake(1);
    journey.seconds(30, 1.0);
    assert_eq!(*journey.seconds(30, 0.0).last().unwrap(), 1);
    journey.policy = policy(&[("window", "6s")]);
    assert_eq!(*journey.seconds(10, 0.0).last().unwrap(), 0);
}
