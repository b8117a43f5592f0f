//! Bounds, the initial scale, and the way to zero.

use std::time::Duration;

use super::{at, policy, seen};
use crate::scale::activity::{Activity, State, Wanted};
use crate::scale::decider::{Sight, Wish};
use crate::scale::{Autoscaler, Measured, Policy, Reason, Seen};

/// A wish that was made just now, and is not made anew.
fn wished(desired: u32) -> Wish {
    Wish {
        desired,
        why: Reason::NoData,
        excess: 0,
        panic: false,
        measured: Measured::default(),
    }
}

/// A revision before a look.
struct Before {
    /// Instances there are.
    there: u32,
    wish: Option<u32>,
    state: State,
    /// For so many seconds.
    held: f64,
    initial: bool,
}

fn before(there: u32, wish: u32, state: State, held: f64) -> Before {
    Before {
        there,
        wish: Some(wish),
        state,
        held,
        initial: false,
    }
}

/// The number, the reason and the state after a look.
fn after(it: &Before, policy: &Policy, edit: impl FnOnce(&mut Seen)) -> (u32, &'static str, State) {
    let mut autoscaler = Autoscaler::new(policy, !it.initial);
    autoscaler.wish = it.wish.map(wished);
    autoscaler.activity = Some(Activity::new(it.state, at(-it.held)));
    autoscaler.applied = it.there;
    autoscaler.last = Some((at(0.0), true));
    autoscaler.ticked = Some(crate::scale::step(at(0.0)));
    let mut seen = Seen {
        ready: it.there,
        ..seen()
    };
    edit(&mut seen);
    let decision = autoscaler.look(&seen, policy, at(0.0));
    (
        decision.desired,
        decision.why.name(),
        decision.activity.state,
    )
}

fn same(_: &mut Seen) {}

fn unproxied(seen: &mut Seen) {
    seen.proxied_since = None;
}

fn proxied_for_29(seen: &mut Seen) {
    seen.proxied_since = Some(at(-29.0));
}

fn proxied_for_30(seen: &mut Seen) {
    seen.proxied_since = Some(at(-30.0));
}

fn unrouted(seen: &mut Seen) {
    seen.routed = false;
    seen.proxied_since = None;
}

type Edit = fn(&mut Seen);
/// What it is about, how things are, the policy, what is seen otherwise; the number, the reason and the state.
type Case<'a> = (&'a str, Before, &'a Policy, Edit, (u32, &'a str, State));

#[test]
fn bounds_and_the_way_to_zero() {
    use State::{Activating, Active, Inactive};
    let retained = |seconds: u64| Policy {
        retention: Duration::from_secs(seconds),
        ..policy(&[])
    };
    let never_zero = Policy {
        to_zero: false,
        ..policy(&[])
    };
    let short_window = policy(&[("window", "20s")]);
    let soon = Policy {
        activation_timeout: Duration::from_secs(35),
        ..policy(&[])
    };
    let plain = policy(&[]);
    let min_2 = policy(&[("min-scale", "2")]);
    let max_8 = policy(&[("max-scale", "8")]);
    let cases: &[Case<'_>] = &[
        (
            "just before the window",
            before(1, 0, Active, 59.0),
            &plain,
            same,
            (1, "Active", Active),
        ),
        (
            "just before its own window",
            before(1, 0, Active, 19.0),
            &short_window,
            same,
            (1, "Active", Active),
        ),
        (
            "one of ten for the rest of the window",
            before(10, 0, Active, 59.0),
            &plain,
            same,
            (1, "Active", Active),
        ),
        (
            "the window is over, the queue not in the way",
            before(1, 0, Active, 60.0),
            &plain,
            unproxied,
            (1, "Grace", Inactive),
        ),
        (
            "its own window is over",
            before(1, 0, Active, 20.0),
            &short_window,
            unproxied,
            (1, "Grace", Inactive),
        ),
        (
            "the window is over, the queue in the way",
            before(1, 0, Active, 60.0),
            &plain,
            same,
            (0, "Idle", Inactive),
        ),
        (
            "just before the grace period",
            before(1, 0, Inactive, 29.0),
            &plain,
            unproxied,
            (1, "Grace", Inactive),
        ),
        (
            "the queue in the way for too short",
            before(1, 0, Inactive, 29.0),
            &plain,
            proxied_for_29,
            (1, "Grace", Inactive),
        ),
        (
            "the queue in the way for long enough",
            before(1, 0, Inactive, 29.0),
            &plain,
            proxied_for_30,
            (0, "Idle", Inactive),
        ),
        (
            "the grace period is over",
            before(1, 0, Inactive, 30.0),
            &plain,
            unproxied,
            (0, "Idle", Inactive),
        ),
        (
            "retained for longer than the grace period",
            before(1, 0, Inactive, 30.0),
            &retained(60),
            unproxied,
            (1, "Retention", Inactive),
        ),
        (
            "retained though the queue is in the way",
            before(1, 0, Inactive, 30.0),
            &retained(60),
            same,
            (1, "Retention", Inactive),
        ),
        (
            "retained for long enough",
            before(1, 0, Inactive, 30.0),
            &retained(30),
            unproxied,
            (0, "Idle", Inactive),
        ),
        (
            "retained for less than the grace period",
            before(1, 0, Inactive, 29.0),
            &retained(21),
            proxied_for_30,
            (0, "Idle", Inactive),
        ),
        (
            "retention is not for what is unrouted",
            before(1, 0, Inactive, 30.0),
            &retained(300),
            unrouted,
            (0, "Idle", Inactive),
        ),
        (
            "but the grace period is",
            before(1, 0, Inactive, 29.0),
            &retained(300),
            unrouted,
            (1, "Grace", Inactive),
        ),
        (
            "not active yet, half way",
            before(1, 0, Activating, 315.0),
            &plain,
            |it| {
                it.ready = 0;
                it.starting = 1;
            },
            (1, "Activating", Activating),
        ),
        (
            "not active in its time",
            before(1, 0, Activating, 631.0),
            &plain,
            |it| {
                it.ready = 0;
                it.starting = 1;
            },
            (0, "TimedOut", Inactive),
        ),
        (
            "not active in its own time",
            before(1, 0, Activating, 36.0),
            &soon,
            |it| {
                it.ready = 0;
                it.starting = 1;
            },
            (0, "TimedOut", Inactive),
        ),
        (
            "never zero where that is switched off",
            before(1, 0, Inactive, 1e5),
            &never_zero,
            same,
            (1, "ScaleToZeroOff", Active),
        ),
        (
            "nor from zero",
            before(0, 0, Inactive, 1e5),
            &never_zero,
            same,
            (1, "ScaleToZeroOff", Activating),
        ),
        (
            "down to min-scale before the grace period",
            before(10, 0, Inactive, 29.0),
            &min_2,
            same,
            (2, "MinScale", Active),
        ),
        (
            "down to min-scale after it",
            before(10, 0, Inactive, 30.0),
            &min_2,
            same,
            (2, "MinScale", Active),
        ),
        (
            "min-scale is not for what is unrouted",
            before(10, 0, Inactive, 30.0),
            &min_2,
            unrouted,
            (0, "Idle", Inactive),
        ),
        (
            "up",
            before(1, 10, Active, 1.0),
            &plain,
            same,
            (10, "NoData", Active),
        ),
        (
            "up to max-scale",
            before(1, 10, Active, 1.0),
            &max_8,
            same,
            (8, "MaxScale", Active),
        ),
        (
            "up from inactive",
            before(1, 10, Inactive, 15.0),
            &plain,
            same,
            (10, "NoData", Active),
        ),
        (
            "from zero to one",
            before(0, 1, Inactive, 99.0),
            &plain,
            same,
            (1, "NoData", Activating),
        ),
        (
            "from zero to many",
            before(0, 10, Inactive, 99.0),
            &plain,
            same,
            (10, "NoData", Activating),
        ),
        (
            "zero stays zero",
            before(0, 0, Inactive, 99.0),
            &plain,
            same,
            (0, "Idle", Inactive),
        ),
        (
            "fewer are ready than there must be",
            before(1, 0, Active, 10.0),
            &min_2,
            same,
            (2, "MinScale", Activating),
        ),
    ];
    for (name, it, policy, edit, expected) in cases {
        assert_eq!(after(it, policy, *edit), *expected, "{name}");
    }
}

#[test]
fn without_any_data_things_stay_as_they_are() {
    let blind = |there, state| Before {
        wish: None,
        ..before(there, 0, state, 10.0)
    };
    let plain = policy(&[]);
    let zero = after(&blind(0, State::Inactive), &plain, same);
    assert_eq!(zero, (0, "Idle", State::Inactive));
    let twelve = after(&blind(12, State::Active), &plain, same);
    assert_eq!(twelve, (12, "NoData", State::Active));
    let bounded = after(
        &blind(12, State::Active),
        &policy(&[("max-scale", "5")]),
        same,
    );
    assert_eq!(bounded, (5, "MaxScale", State::Active));
}

#[test]
fn the_initial_scale_holds_until_it_is_reached() {
    use State::{Activating, Active, Inactive};
    let new = |there, wish, held| Before {
        wish,
        initial: true,
        ..before(there, 0, Activating, held)
    };
    let two = policy(&[("initial-scale", "2")]);
    let cases: &[Case<'_>] = &[
        (
            "one to start with",
            new(0, None, 0.0),
            &policy(&[]),
            same,
            (1, "InitialScale", Activating),
        ),
        (
            "over what the load needs",
            new(0, Some(1), 0.0),
            &two,
            same,
            (2, "InitialScale", Activating),
        ),
        (
            "under what the load needs",
            new(0, Some(7), 0.0),
            &two,
            same,
            (7, "NoData", Activating),
        ),
        (
            "not reached yet",
            new(1, Some(0), 0.0),
            &two,
            same,
            (2, "InitialScale", Activating),
        ),
        (
            "reached",
            new(2, Some(0), 5.0),
            &two,
            same,
            (2, "InitialScale", Active),
        ),
        (
            "and then what is needed, for the window one",
            before(2, 0, Active, 10.0),
            &two,
            same,
            (1, "Active", Active),
        ),
        (
            "min-scale is more",
            new(0, None, 0.0),
            &policy(&[("min-scale", "3")]),
            same,
            (3, "MinScale", Activating),
        ),
        (
            "max-scale is less",
            new(0, None, 0.0),
            &policy(&[("initial-scale", "9"), ("max-scale", "4")]),
            same,
            (4, "MaxScale", Activating),
        ),
        (
            "none",
            new(0, None, 0.0),
            &policy(&[("initial-scale", "0")]),
            same,
            (0, "Idle", Inactive),
        ),
        (
            "traffic comes when it has shown that it works",
            new(0, None, 0.0),
            &two,
            |it| it.routed = false,
            (2, "InitialScale", Activating),
        ),
        (
            "until its time is over",
            new(1, None, 631.0),
            &two,
            |it| it.ready = 0,
            (0, "TimedOut", Inactive),
        ),
        (
            "it is given up where it fails",
            new(1, None, 99.0),
            &two,
            |it| {
                it.ready = 0;
                it.given_up = true;
            },
            (0, "GivenUp", Inactive),
        ),
        (
            "with its min-scale",
            new(1, None, 99.0),
            &policy(&[("min-scale", "2")]),
            |it| {
                it.ready = 0;
                it.given_up = true;
            },
            (0, "GivenUp", Inactive),
        ),
        (
            "and tried when a request comes",
            new(0, None, 99.0),
            &two,
            |it| {
                it.given_up = true;
                it.queued = 1;
            },
            (1, "Waiting", Activating),
        ),
        (
            "what was ready once is never given up",
            before(1, 1, Active, 99.0),
            &policy(&[("min-scale", "2")]),
            |it| {
                it.ready = 0;
                it.given_up = true;
            },
            (2, "MinScale", Activating),
        ),
    ];
    for (name, it, policy, edit, expected) in cases {
        assert_eq!(after(it, policy, *edit), *expected, "{name}");
    }
}

#[test]
fn the_condition_follows_what_is_wanted_and_what_is_ready() {
    use State::{Activating, Active, Inactive};
    use Wanted::{None, Some, Unknown};
    let cases = [
        (None, 0, 1, Active, Inactive),
        (None, 5, 1, Active, Inactive),
        (None, 5, 1, Activating, Inactive),
        (None, 5, 1, Inactive, Inactive),
        (Some, 1, 2, Active, Activating),
        (Some, 1, 2, Inactive, Activating),
        (Some, 2, 2, Activating, Active),
        (Some, 2, 2, Inactive, Active),
        (Unknown, 0, 1, Inactive, Inactive),
        (Unknown, 0, 1, Activating, Activating),
        (Unknown, 0, 1, Active, Activating),
        (Unknown, 1, 1, Inactive, Inactive),
        (Unknown, 0, 0, Activating, Inactive),
        (Unknown, 0, 0, Active, Inactive),
        (Unknown, 1, 1, Activating, Active),
        (Unknown, 1, 1, Active, Active),
    ];
    for (wanted, ready, enough, from, to) in cases {
        let mut activity = Activity::new(from, at(0.0));
        activity.follow(wanted, ready, enough, at(9.0));
        let since = if from == to { at(0.0) } else { at(9.0) };
        let expected = Activity { state: to, since };
        assert_eq!(
            activity, expected,
            "{wanted:?} {ready} of {enough}, {from:?}"
        );
    }
}

#[test]
fn the_queue_is_out_of_the_way_while_there_is_room_for_a_burst() {
    let room = |burst: f64, total: f64, ready: u32| {
        let policy = Policy {
            burst_capacity: burst,
            total,
            ..policy(&[])
        };
        let mut decider = crate::scale::decider::Decider::default();
        let sight = Sight {
            ready,
            waiting: 0,
            routed: true,
        };
        let load = Measured {
            stable: 10.0,
            panic: 10.0,
        };
        decider.wish(load, sight, &policy, at(0.0)).excess
    };
    for (burst, total, ready, expected) in [
        (211.0, 100.0, 1, -121),
        (211.0, 100.0, 3, 79),
        (10.0, 20.0, 1, 0),
        (10.5, 20.0, 1, -1),
        (0.0, 100.0, 0, 0),
        (-1.0, 100.0, 50, -1),
    ] {
        assert_eq!(
            room(burst, total, ready),
            expected,
            "{burst} {total} {ready}"
        );
    }
    let mut autoscaler = Autoscaler::new(&policy(&[]), true);
    let decision = autoscaler.look(&seen(), &policy(&[]), at(0.0));
    assert_eq!(
        decision.excess_burst_capacity, -111,
        "one instance of the initial scale"
    );
    assert!(decision.through_queue());
}
