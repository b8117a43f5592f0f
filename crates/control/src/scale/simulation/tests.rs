use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::scale::tests::policy;

const MODEL: Model = Model {
    cold_start: Duration::from_secs(1),
    container_concurrency: 1,
};

fn invocations(list: &[(f64, f64)]) -> Vec<Invocation> {
    let invocation = |(at, takes): &(f64, f64)| Invocation {
        at: Duration::from_secs_f64(*at),
        takes: Duration::from_secs_f64(*takes),
    };
    list.iter().map(invocation).collect()
}

#[test]
fn one_request_waits_for_a_cold_start_and_its_instance_goes_after_the_window() {
    let course = run(&invocations(&[(5.0, 0.5)]), &policy(&[]), &MODEL);
    assert_eq!(course.waits, [Duration::from_secs(1)]);
    assert_eq!((course.cold, course.started, course.most_ready), (1, 1, 1));
    let last = course.seconds.last().unwrap();
    assert_eq!((last.desired, last.ready), (0, 0));
    // The window, the start, and up to two ticks.
    assert!((66..=71).contains(&last.second), "{}", last.second);
    assert!(course.instance_time >= Duration::from_secs(60));
}

#[test]
fn a_request_that_finds_an_instance_waits_for_nothing() {
    let course = run(
        &invocations(&[(0.0, 0.1), (30.0, 0.1)]),
        &policy(&[]),
        &MODEL,
    );
    assert_eq!(course.waits, [Duration::from_secs(1), Duration::ZERO]);
    assert_eq!(course.cold, 1);
}

#[test]
fn steady_load_is_met_with_what_it_needs() {
    // Ten a second, each of a second, one at a time, at 70 %.
    let steady: Vec<_> = (0..3000).map(|nth| (f64::from(nth) * 0.1, 1.0)).collect();
    let policy = Policy {
        target: 0.7,
        total: 1.0,
        ..policy(&[])
    };
    let course = run(&invocations(&steady), &policy, &MODEL);
    let settled = &course.seconds[150..290];
    assert!(settled.iter().all(|second| second.queued == 0));
    assert!(
        settled
            .iter()
            .all(|second| (14..=16).contains(&second.desired)),
        "{:?}",
        settled
            .iter()
            .map(|second| second.desired)
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_burst_panics_and_is_over() {
    let mut trace = vec![(0.0, 0.1)];
    trace.extend((0..200).map(|nth| (100.0 + f64::from(nth) * 0.01, 3.0)));
    let policy = policy(&[("target", "10"), ("target-utilization-percentage", "100")]);
    let model = Model {
        container_concurrency: 10,
        ..MODEL
    };
    let course = run(&invocations(&trace), &policy, &model);
    assert_eq!(course.waits.len(), trace.len());
    assert!(course.seconds.iter().any(|second| second.panicking));
    assert!(course.most_ready >= 10, "{}", course.most_ready);
    assert!(!course.seconds.last().unwrap().panicking);
    assert!(course.wait(0.5) <= course.wait(0.99));
}

#[test]
fn what_keeps_some_for_ever_ends_too() {
    let course = run(
        &invocations(&[(1.0, 0.1)]),
        &policy(&[("min-scale", "2")]),
        &MODEL,
    );
    assert_eq!(course.seconds.last().unwrap().desired, 2);
}

proptest! {
    #[test]
    fn every_request_is_worked_on_and_the_same_trace_takes_the_same_course(
        list in prop::collection::vec((0f64..120.0, 0f64..4.0), 1..60), concurrency in 0u32..4, max in 0u32..6,
    ) {
        let mut list = list;
        list.sort_by(|one, other| one.0.total_cmp(&other.0));
        let policy = Policy { max, target: 1.0, total: 1.0, ..policy(&[]) };
        let model = Model { container_concurrency: concurrency, ..MODEL };
        let trace = invocations(&list);
        let course = run(&trace, &policy, &model);
        prop_assert_eq!(course.waits.len(), trace.len());
        prop_assert!(max == 0 || course.most_ready <= max);
        let arrived: u32 = course.seconds.iter().map(|second| second.arrived).sum();
        prop_assert_eq!(arrived as usize, trace.len());
        prop_assert_eq!(run(&trace, &policy, &model), course);
    }
}
