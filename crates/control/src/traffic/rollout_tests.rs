//! The rule by itself: tables of how it was, what is wanted, and what becomes of it.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

const START: i64 = 2_000_000_000_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(START)).unwrap() + SignedDuration::from_secs(seconds)
}

fn stage(revisions: &[(&str, i64)]) -> Stage {
    Stage {
        configuration_name: "f".to_owned(),
        percent: revisions.iter().map(|(_, percent)| percent).sum(),
        revisions: revisions
            .iter()
            .map(|(name, percent)| Share {
                revision_name: (*name).to_owned(),
                percent: *percent,
            })
            .collect(),
        ..Stage::default()
    }
}

fn rollout(stages: &[Stage]) -> Rollout {
    Rollout {
        configurations: stages.to_vec(),
    }
}

/// A stage whose next step is due at `START`.
fn moving(revisions: &[(&str, i64)], size: i64) -> Stage {
    Stage {
        step_params: Steps {
            start_time: START - 1_000_000_000,
            next_step_time: START,
            step_duration: 3_000_000_000,
            step_size: size,
        },
        ..stage(revisions)
    }
}

fn shares(stage: &Stage) -> Vec<(&str, i64)> {
    stage
        .revisions
        .iter()
        .map(|it| (it.revision_name.as_str(), it.percent))
        .collect()
}

#[test]
fn a_step_leads_from_how_it_was_to_what_is_wanted() {
    let none: &[(&str, i64)] = &[];
    for (name, before, goal, expected) in [
        (
            "nothing is new",
            stage(&[("a", 100)]),
            ("a", 100),
            &[("a", 100)][..],
        ),
        (
            "a first one gets all of it",
            stage(none),
            ("a", 100),
            &[("a", 100)],
        ),
        (
            "a new one starts with 1 %",
            stage(&[("a", 100)]),
            ("b", 100),
            &[("a", 99), ("b", 1)],
        ),
        (
            "of a smaller share too",
            stage(&[("a", 10)]),
            ("b", 10),
            &[("a", 9), ("b", 1)],
        ),
        (
            "2 % move in two steps",
            stage(&[("a", 2)]),
            ("b", 2),
            &[("a", 1), ("b", 1)],
        ),
        (
            "1 % moves at once",
            stage(&[("a", 1)]),
            ("b", 1),
            &[("b", 1)],
        ),
        (
            "a third one takes from the second",
            stage(&[("a", 60), ("b", 40)]),
            ("c", 100),
            &[("a", 60), ("b", 39), ("c", 1)],
        ),
        (
            "and all that the second had",
            stage(&[("a", 99), ("b", 1)]),
            ("c", 100),
            &[("a", 99), ("c", 1)],
        ),
        (
            "a larger share goes to the newest",
            stage(&[("a", 30), ("b", 20)]),
            ("b", 80),
            &[("a", 30), ("b", 50)],
        ),
        (
            "a smaller one is taken from the oldest",
            stage(&[("a", 30), ("b", 20)]),
            ("b", 40),
            &[("a", 20), ("b", 20)],
        ),
        (
            "who may go altogether",
            stage(&[("a", 30), ("b", 20), ("c", 50)]),
            ("c", 60),
            &[("b", 10), ("c", 50)],
        ),
        (
            "so that only the newest is left",
            stage(&[("a", 30), ("b", 20)]),
            ("b", 15),
            &[("b", 15)],
        ),
        (
            "a new one when the share grows",
            stage(&[("a", 50)]),
            ("b", 70),
            &[("a", 69), ("b", 1)],
        ),
        (
            "a new one when it shrinks",
            stage(&[("a", 50), ("b", 20)]),
            ("c", 30),
            &[("a", 10), ("b", 19), ("c", 1)],
        ),
    ] {
        let result = rollout(&[stage(&[goal])]).step(&rollout(&[before]), at(0));
        assert_eq!(shares(&result.configurations[0]), expected, "{name}");
        assert_eq!(result.configurations[0].percent, goal.1, "{name}");
    }
}

#[test]
fn the_start_is_noted_and_steps_are_planned_only_when_it_is_seen() {
    let goal = || rollout(&[stage(&[("b", 100)])]);
    let mut started = goal().step(&rollout(&[stage(&[("a", 100)])]), at(0));
    let steps = &started.configurations[0].step_params;
    assert_eq!((steps.start_time, steps.step_size), (START, 0));
    assert_eq!(started.next_step(), None);
    // Nothing moves before that, however long it takes.
    let later = goal().step(&started, at(500));
    assert_eq!(later, started);
    started.observe(at(2), 30.0);
    assert_eq!(started.next_step(), Some(at(4)));
    let seen_again = {
        let mut again = started.clone();
        again.observe(at(3), 30.0);
        again
    };
    assert_eq!(seen_again, started, "once");
}

#[test]
fn steps_fit_into_the_time_that_is_left() {
    // Share, seconds until it was seen, seconds for all; then the size of a step in percent and its milliseconds.
    for (percent, took, seconds, size, millis) in [
        (100, 1, 120, 1, 1_202),
        (100, 1, 100, 1, 1_000),
        (100, 1, 50, 2, 1_000),
        (100, 10, 110, 10, 10_000),
        (100, 30, 60, 99, 30_000),
        (100, 90, 60, 99, 1_000),
        (10, 1, 120, 1, 13_222),
        (10, 5, 30, 2, 5_000),
        (3, 1, 2, 2, 1_000),
        (2, 1, 120, 1, 119_000),
    ] {
        let mut it = rollout(&[Stage {
            step_params: Steps {
                start_time: START,
                ..Steps::default()
            },
            ..stage(&[("a", percent - 1), ("b", 1)])
        }]);
        it.observe(at(took), f64::from(seconds));
        let steps = &it.configurations[0].step_params;
        assert_eq!(
            (steps.step_size, steps.step_duration / 1_000_000),
            (size, millis),
            "{percent} % in {seconds} s"
        );
        let seen = START + took * 1_000_000_000;
        assert_eq!(steps.next_step_time, seen + steps.step_duration);
    }
}

#[test]
fn each_step_takes_from_the_newest_of_the_older_ones() {
    for (name, before, expected) in [
        (
            "one older one",
            moving(&[("a", 90), ("b", 10)], 5),
            &[("a", 85), ("b", 15)][..],
        ),
        (
            "the one before goes first",
            moving(&[("a", 70), ("b", 20), ("c", 10)], 5),
            &[("a", 70), ("b", 15), ("c", 15)],
        ),
        (
            "and to nothing",
            moving(&[("a", 70), ("b", 5), ("c", 25)], 5),
            &[("a", 70), ("c", 30)],
        ),
        (
            "and then the one before that",
            moving(&[("a", 70), ("b", 5), ("c", 25)], 15),
            &[("a", 60), ("c", 40)],
        ),
        (
            "the last step",
            moving(&[("a", 5), ("b", 95)], 5),
            &[("b", 100)],
        ),
        (
            "and no more than all",
            moving(&[("a", 3), ("b", 97)], 5),
            &[("b", 100)],
        ),
    ] {
        let (newest, _) = *shares(&before).last().unwrap();
        let goal = || rollout(&[stage(&[(newest, 100)])]);
        let early = goal().step(&rollout(std::slice::from_ref(&before)), at(-1));
        assert_eq!(shares(&early.configurations[0]), shares(&before), "{name}");
        let result = goal().step(&rollout(&[before]), at(0));
        assert_eq!(shares(&result.configurations[0]), expected, "{name}");
        let next = result.next_step();
        if expected.len() > 1 {
            assert_eq!(next, Some(at(3)), "{name}");
        } else {
            assert_eq!(next, None, "{name}");
            assert_eq!(result.configurations[0].step_params, Steps::default());
        }
    }
}

#[test]
fn hosts_move_by_themselves() {
    let tagged = |tag: &str, it: Stage| Stage {
        tag: tag.to_owned(),
        ..it
    };
    let before = rollout(&[
        stage(&[("a", 80)]),
        tagged("gone", stage(&[("a", 100)])),
        tagged("old", moving(&[("a", 50), ("b", 50)], 10)),
    ]);
    let goal = rollout(&[
        stage(&[("b", 80)]),
        tagged("new", stage(&[("b", 100)])),
        tagged("old", stage(&[("b", 100)])),
    ]);
    let result = goal.step(&before, at(0));
    let seen: Vec<_> = result
        .configurations
        .iter()
        .map(|it| (it.tag.as_str(), shares(it)))
        .collect();
    assert_eq!(
        seen,
        [
            ("", vec![("a", 79), ("b", 1)]),
            ("new", vec![("b", 100)]),
            ("old", vec![("a", 40), ("b", 60)]),
        ]
    );
    assert_eq!(result.next_step(), Some(at(3)));
    assert!(!result.is_done());
}

#[test]
fn its_json_is_upstreams() {
    let it = rollout(&[moving(&[("a", 90), ("b", 10)], 5)]);
    let json = serde_json::to_string(&it).unwrap();
    assert_eq!(
        json,
        r#"{"configurations":[{"configurationName":"f","percent":100,"revisions":[{"revisionName":"a","percent":90},{"revisionName":"b","percent":10}],"stepParams":{"starttime":1999999999000000000,"nextStepTime":2000000000000000000,"stepDuration":3000000000,"stepSize":5}}]}"#
    );
    assert_eq!(serde_json::from_str::<Rollout>(&json).unwrap(), it);
}

proptest! {
    #[test]
    fn shares_always_sum_and_it_comes_to_an_end(
        changes in prop::collection::vec((0u8..4, 1i64..=100, 0i64..20), 1..6),
        seconds in 1u32..300,
    ) {
        let mut state = rollout(&[stage(&[("r0", 100)])]);
        let mut now = 0;
        let mut goal = ("r0".to_owned(), 100);
        let advance = |goal: &(String, i64), now: i64, state: &mut Rollout| {
            state.observe(at(now), f64::from(seconds));
            let wanted = rollout(&[stage(&[(&goal.0, goal.1)])]);
            *state = wanted.step(state, at(now));
        };
        for (revision, percent, wait) in changes {
            goal = (format!("r{revision}"), percent);
            now += wait;
            advance(&goal, now, &mut state);
            prop_assert!(state.is_sound(), "{:?}", state);
            let it = &state.configurations[0];
            prop_assert_eq!(it.percent, percent);
            prop_assert!(it.revisions.iter().all(|it| it.percent > 0), "{:?}", it);
            prop_assert_eq!(&it.revisions.last().unwrap().revision_name, &goal.0);
        }
        // The first look after the start plans, and there is a step for each percent at most.
        for _ in 0..102 {
            now += i64::from(seconds) + 1;
            advance(&goal, now, &mut state);
        }
        prop_assert!(state.is_done(), "{:?}", state);
        prop_assert_eq!(shares(&state.configurations[0]), vec![(goal.0.as_str(), goal.1)]);
    }
}
