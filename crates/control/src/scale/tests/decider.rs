//! Loads and the scale that they need.

use std::time::Duration;

use super::{at, policy};
use crate::scale::decider::{Decider, Sight, Wish};
use crate::scale::{Measured, Metric, Policy, Reason};

/// As upstream's tests have it: 70 % of what an instance can take is its target, rates are ten, a panic begins at twice what
/// there is.
fn scaling(target: f64, burst: f64) -> Policy {
    Policy {
        target,
        total: target / 0.7,
        burst_capacity: burst,
        panic_threshold: 2.0,
        max_up_rate: 10.0,
        max_down_rate: 10.0,
        ..policy(&[])
    }
}

/// Looks at a load with so many instances.
fn look(decider: &mut Decider, policy: &Policy, load: (f64, f64), ready: u32, now: f64) -> Wish {
    let (stable, panic) = load;
    let sight = Sight {
        ready,
        waiting: 0,
        routed: true,
    };
    decider.wish(Measured { stable, panic }, sight, policy, at(now))
}

fn excess(policy: &Policy, panic: f64, ready: u32) -> i64 {
    (policy.total * f64::from(ready) - policy.burst_capacity - panic).floor() as i64
}

/// What it is about, the policy, stable and panic load, instances; the wish, and why.
type Look<'a> = (&'a str, &'a Policy, (f64, f64), u32, u32, &'a str);

#[test]
fn one_look_at_a_load() {
    let small_up = Policy {
        max_up_rate: 1.1,
        ..scaling(1.0, 1982.0)
    };
    let small_down = Policy {
        max_down_rate: 1.1,
        ..scaling(10.0, 1982.0)
    };
    let activation = Policy {
        activation: 2,
        ..scaling(10.0, 75.0)
    };
    let rps = Policy {
        metric: Metric::Rps,
        ..scaling(10.0, 100.0)
    };
    let cases: &[Look<'_>] = &[
        ("no load", &scaling(10.0, 100.0), (0.0, 0.0), 1, 0, "Load"),
        (
            "no more than there is",
            &scaling(181.0, -1.0),
            (21.0, 26.0),
            1,
            1,
            "Load",
        ),
        (
            "up by the stable window",
            &scaling(10.0, 0.0),
            (50.0, 10.0),
            1,
            5,
            "Load",
        ),
        (
            "both windows alike",
            &scaling(10.0, 100.0),
            (50.0, 50.0),
            1,
            5,
            "Load",
        ),
        (
            "as many as there are",
            &scaling(10.0, 100.0),
            (50.0, 50.0),
            5,
            5,
            "Load",
        ),
        ("down", &scaling(10.0, 98.0), (50.0, 50.0), 8, 5, "Load"),
        (
            "twice what there is by the panic window",
            &scaling(10.0, 84.0),
            (50.0, 100.0),
            1,
            10,
            "Panic",
        ),
        (
            "never so little that it stands still",
            &small_up,
            (3.0, 3.1),
            2,
            3,
            "Load",
        ),
        (
            "down a little",
            &small_down,
            (1.0, 1.0),
            100,
            90,
            "MaxScaleDownRate",
        ),
        (
            "up by ten at most",
            &scaling(10.0, 61.0),
            (1000.0, 1001.0),
            1,
            10,
            "MaxScaleUpRate",
        ),
        (
            "and by ten again",
            &scaling(10.0, 61.0),
            (1000.0, 1001.0),
            10,
            100,
            "Load",
        ),
        (
            "down by ten at most",
            &scaling(10.0, 61.0),
            (1.0, 1.0),
            100,
            10,
            "MaxScaleDownRate",
        ),
        (
            "and by ten down again",
            &scaling(10.0, 61.0),
            (1.0, 1.0),
            10,
            1,
            "Load",
        ),
        (
            "from none as from one",
            &scaling(10.0, 81.0),
            (1000.0, 888.0),
            0,
            10,
            "MaxScaleUpRate",
        ),
        (
            "a trace of a load needs one",
            &scaling(10.0, 75.0),
            (1.0, 0.0),
            1,
            1,
            "Load",
        ),
        (
            "if any, then two",
            &activation,
            (1.0, 0.0),
            1,
            2,
            "ActivationScale",
        ),
        ("if none, then none", &activation, (0.0, 0.0), 1, 0, "Load"),
        (
            "more than the activation scale",
            &activation,
            (25.0, 0.0),
            1,
            3,
            "Load",
        ),
        ("requests a second", &rps, (100.0, 99.0), 1, 10, "Load"),
        (
            "exactly the target",
            &scaling(0.7, 0.0),
            (0.7, 0.7),
            1,
            1,
            "Load",
        ),
        (
            "one request at a time, all the time",
            &scaling(0.7, 0.0),
            (1.0, 1.0),
            1,
            2,
            "Load",
        ),
    ];
    for (name, policy, load, ready, expected, why) in cases {
        let wish = look(&mut Decider::default(), policy, *load, *ready, 0.0);
        assert_eq!(
            (wish.desired, wish.why.name()),
            (*expected, *why),
            "{name}: {}",
            wish.why
        );
        let room = match policy.burst_capacity {
            burst if burst > 0.0 => excess(policy, load.1, *ready),
            burst => burst as i64,
        };
        assert_eq!(wish.excess, room, "{name}");
    }
}

#[test]
fn what_no_traffic_is_routed_to_goes_down_at_once() {
    let policy = Policy {
        max_down_rate: 1.1,
        ..scaling(10.0, 1982.0)
    };
    let sight = Sight {
        ready: 100,
        waiting: 0,
        routed: false,
    };
    let load = Measured {
        stable: 1.0,
        panic: 1.0,
    };
    let wish = Decider::default().wish(load, sight, &policy, at(0.0));
    assert_eq!(wish.desired, 1);
}

#[test]
fn requests_that_wait_for_the_first_instance_count_at_once() {
    let policy = scaling(0.7, 0.0);
    let sight = Sight {
        ready: 0,
        waiting: 3,
        routed: true,
    };
    let wish = Decider::default().wish(Measured::default(), sight, &policy, at(0.0));
    assert_eq!(wish.desired, 5);
    assert_eq!(wish.why, Reason::Waiting { queued: 3 });
}

#[test]
fn in_a_panic_the_more_of_both_windows_counts() {
    for (load, expected) in [((50.0, 30.0), 50), ((20.0, 30.0), 30), ((4.0, 3.0), 5)] {
        // Five that were there already: a panic.
        let mut decider = Decider::new(5, at(-5.0));
        let wish = look(&mut decider, &scaling(1.0, 100.0), load, 5, 0.0);
        assert_eq!((wish.desired, wish.panic), (expected, true), "{load:?}");
    }
}

#[test]
fn it_begins_in_a_panic_if_several_are_there() {
    for (ready, panic) in [(0, false), (1, false), (2, true)] {
        let mut decider = Decider::new(ready, at(0.0));
        let wish = look(
            &mut decider,
            &scaling(100.0, 11.0),
            (10.0, 10.0),
            ready,
            0.0,
        );
        assert_eq!(wish.panic, panic, "{ready}");
    }
}

/// A look in a row of them: time, load, instances; the wish, and whether it is a panic.
type Row = (f64, (f64, f64), u32, u32, bool);

#[test]
fn rows_of_looks() {
    let rows: &[(&str, Policy, &[Row])] = &[
        (
            "a panic ends when the load has made its way into the stable window",
            scaling(1.0, 98.0),
            &[
                (0.0, (11.0, 25.0), 10, 25, true),
                (30.0, (30.0, 41.0), 40, 41, true),
                (62.0, (50.0, 56.0), 55, 50, false),
            ],
        ),
        (
            "a load that goes on rising makes the panic begin anew",
            scaling(1.0, 98.0),
            &[
                (0.0, (11.0, 25.0), 10, 25, true),
                (30.0, (30.0, 80.0), 40, 80, true),
                (62.0, (50.0, 56.0), 80, 80, true),
                (92.0, (50.0, 56.0), 80, 50, false),
            ],
        ),
        (
            "it follows a load that rises six-fold each time",
            scaling(1.0, 101.0),
            &[
                (0.0, (6.0, 6.0), 1, 6, true),
                (0.0, (36.0, 36.0), 6, 36, true),
                (1.0, (216.0, 216.0), 36, 216, true),
                (1.0, (1296.0, 1296.0), 216, 1296, true),
                (2.0, (1296.0, 1296.0), 1296, 1296, true),
            ],
        ),
        (
            "nothing is taken away in a panic",
            scaling(10.0, 93.0),
            &[
                (0.0, (100.0, 100.0), 1, 10, true),
                (0.0, (100.0, 1000.0), 10, 100, true),
                (30.0, (1.0, 1.0), 10, 100, true),
                (61.0, (1.0, 1.0), 10, 1, false),
            ],
        ),
        (
            "a window to the second is not over yet",
            scaling(10.0, 93.0),
            &[
                (0.0, (10.0, 20.0), 1, 2, true),
                (60.0, (0.0, 0.0), 2, 2, true),
            ],
        ),
    ];
    for (name, policy, looks) in rows {
        let mut decider = Decider::default();
        for (now, load, ready, desired, panic) in *looks {
            let wish = look(&mut decider, policy, *load, *ready, *now);
            assert_eq!(
                (wish.desired, wish.panic),
                (*desired, *panic),
                "{name}, {now} s: {}",
                wish.why
            );
            assert_eq!(
                wish.excess,
                excess(policy, load.1, *ready),
                "{name}, {now} s"
            );
        }
    }
}

#[test]
fn a_policy_that_changes_holds_at_the_next_look() {
    let mut decider = Decider::default();
    let before = look(&mut decider, &scaling(10.0, 77.0), (100.0, 101.0), 1, 0.0);
    let after = look(&mut decider, &scaling(1.0, 71.0), (100.0, 101.0), 10, 0.0);
    assert_eq!((before.desired, after.desired), (10, 100));
}

fn delayed(delay: u64) -> Policy {
    Policy {
        down_delay: Duration::from_secs(delay),
        panic_threshold: 100.0,
        ..scaling(10.0, 0.0)
    }
}

#[test]
fn less_is_wanted_when_less_has_done_for_the_delay() {
    let looks = [
        (2.0, 40.0, 4),
        (300.0, 0.0, 4),
        (302.0, 0.0, 0),
        // By steps.
        (540.0, 40.0, 4),
        (600.0, 30.0, 4),
        (660.0, 0.0, 4),
        (840.0, 0.0, 3),
        (900.0, 0.0, 0),
    ];
    let mut decider = Decider::default();
    for (now, load, expected) in looks {
        let wish = look(&mut decider, &delayed(300), (load, load), 0, now);
        assert_eq!(wish.desired, expected, "{now}");
    }
}

#[test]
fn the_delay_is_not_for_what_no_traffic_is_routed_to() {
    let mut decider = Decider::default();
    let mut look = |now, load, routed| {
        let sight = Sight {
            ready: 0,
            waiting: 0,
            routed,
        };
        let load = Measured {
            stable: load,
            panic: load,
        };
        decider.wish(load, sight, &delayed(300), at(now)).desired
    };
    assert_eq!(
        [
            look(2.0, 40.0, true),
            look(60.0, 0.0, true),
            look(62.0, 0.0, false)
        ],
        [4, 4, 0]
    );
}

#[test]
fn without_a_delay_less_is_wanted_at_once() {
    let mut decider = Decider::default();
    let policy = delayed(0);
    let before = look(&mut decider, &policy, (40.0, 40.0), 0, 0.0);
    let after = look(&mut decider, &policy, (20.0, 20.0), 0, 0.5);
    assert_eq!((before.desired, after.desired), (4, 2));
}
