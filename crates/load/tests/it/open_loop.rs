//! When requests are sent, and from when they are timed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use load::arrivals::{Process, Schedule, Trace};
use load::generator::{self, Loop};
use load::{Live, Plan};
use tokio_util::sync::CancellationToken;

use crate::backend::{Manner, serve};
use crate::{plan, run, summary, target};

#[tokio::test]
async fn a_request_is_sent_whether_or_not_others_are_answered() {
    // None is answered before the last has come.
    let (address, seen) = serve(Manner::WaitsFor(40)).await;
    let run = run(plan(vec![target("f", address)], 40)).await;
    let summary = summary(&run);
    assert_eq!((summary.issued, summary.completed), (40, 40));
    assert_eq!(seen.most.load(Ordering::SeqCst), 40);
}

#[tokio::test]
async fn in_a_closed_loop_each_connection_has_one_request_at_a_time() {
    let (address, seen) = serve(Manner::Greets).await;
    let closed = Plan {
        turns: Loop::Closed(3),
        ..plan(vec![target("f", address)], 30)
    };
    let summary = summary(&run(closed).await);
    assert_eq!(summary.completed, 30);
    assert!(seen.most.load(Ordering::SeqCst) <= 3);
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2 + 3);
}

#[tokio::test]
async fn the_clock_of_a_request_starts_when_it_was_due_in_a_closed_loop_too() {
    // Due 5 ms apart and sent 50 ms apart, so the nth begins at least n × 45 ms late.
    let (address, _) = serve(Manner::Pauses(Duration::from_millis(50))).await;
    let closed = Plan {
        turns: Loop::Closed(1),
        ..plan(vec![target("f", address)], 8)
    };
    let run = run(closed).await;
    let shortest = (1..=8).map(|nth| Duration::from_millis(50 + 45 * (nth - 1)));
    for (sample, shortest) in run.samples.iter().zip(shortest) {
        assert!(
            Duration::from_nanos(sample.latency) >= shortest,
            "{sample:?}"
        );
    }
    assert_eq!(run.samples.len(), 8);
}

#[tokio::test]
async fn what_is_due_in_the_warm_up_is_sent_and_not_recorded() {
    let (address, seen) = serve(Manner::Greets).await;
    let warm_up = Duration::from_millis(100);
    let whole = plan(vec![target("f", address)], 30);
    let plan = Plan {
        warm_up,
        length: whole.length.saturating_sub(warm_up),
        ..whole
    };
    let summary = summary(&run(plan).await);
    assert_eq!(seen.requests.load(Ordering::SeqCst), 30);
    assert_eq!(summary.issued, 10);
}

#[tokio::test]
async fn endpoints_take_turns_and_those_of_one_address_share_its_connections() {
    let (address, seen) = serve(Manner::Greets).await;
    let targets = ["a", "b", "c"].map(|name| target(name, address)).to_vec();
    let summary = summary(&run(plan(targets, 30)).await);
    let shares: Vec<_> = summary.endpoints.iter().map(|it| it.issued).collect();
    assert_eq!(shares, [10, 10, 10]);
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn each_function_of_a_trace_has_an_endpoint_of_its_own() {
    let (address, _) = serve(Manner::Greets).await;
    let trace = Trace::read("HashFunction,1,2\nf,5,0\ng,1,2\n").expect("a trace");
    let minute = Duration::from_millis(200);
    let length = trace.length(minute);
    let replay = Plan {
        schedule: Schedule::replay(&trace, minute, length, 3),
        length,
        ..plan(vec![target("a", address), target("b", address)], 0)
    };
    let summary = summary(&run(replay).await);
    let shares: Vec<_> = summary.endpoints.iter().map(|it| it.issued).collect();
    assert_eq!(shares, [5, 3]);
}

#[tokio::test]
async fn a_run_that_is_stopped_is_as_long_as_it_was() {
    let (address, _) = serve(Manner::Greets).await;
    let long = Duration::from_secs(3600);
    let endless = Plan {
        schedule: Schedule::of(Process::Poisson, 100.0, long, 1),
        length: long,
        ..plan(vec![target("f", address)], 0)
    };
    let (live, stop) = (Arc::new(Live::default()), CancellationToken::new());
    let running = tokio::spawn(generator::run(endless, Arc::clone(&live), stop.clone()));
    while live.ended.load(Ordering::Relaxed) < 5 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    let run = running.await.expect("a task").expect("a run");
    assert!(run.samples.len() >= 5);
    assert!(run.length < long);
}

#[tokio::test]
async fn what_happens_now_is_told_while_it_happens() {
    let (address, _) = serve(Manner::Greets).await;
    let live = Arc::new(Live::default());
    assert!(live.recent().is_none());
    let plan = plan(vec![target("f", address)], 20);
    let run = generator::run(plan, Arc::clone(&live), CancellationToken::new()).await;
    assert_eq!(run.expect("a run").samples.len(), 20);
    assert_eq!(live.issued.load(Ordering::Relaxed), 20);
    assert_eq!(live.recent().map(|it| it.len()), Some(20));
    assert_eq!(live.recent().map(|it| it.len()), Some(0));
}
