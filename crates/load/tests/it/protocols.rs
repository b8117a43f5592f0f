//! What is sent, and what is read of answers.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;
use load::Plan;
use load::generator::{Loop, Protocol};

use crate::backend::{Manner, serve};
use crate::{plan, run, summary, target};

fn http(method: Method, body: &'static str) -> Protocol {
    Protocol::Http {
        method,
        path: PathAndQuery::from_static("/some/path?a=b"),
        body: Bytes::from_static(body.as_bytes()),
    }
}

#[tokio::test]
async fn the_greeter_is_asked_as_the_original_asks() {
    let (address, seen) = serve(Manner::Greets).await;
    let summary = summary(&run(plan(vec![target("f", address)], 4)).await);
    assert_eq!(summary.completed, 4);
    let lines = seen.lines.lock().expect("a lock");
    assert_eq!(
        lines[0],
        "POST /helloworld.Greeter/SayHello \0\0\0\0\u{e}\n\u{c}Invoke relay"
    );
    let headers = seen.headers.lock().expect("a lock");
    assert_eq!(headers[0]["vhive-explain"], "1");
    assert_eq!(headers[0]["te"], "trailers");
}

#[tokio::test]
async fn a_functions_own_time_is_read_of_both_protocols() {
    for protocol in [None, Some(http(Method::GET, ""))] {
        let (address, _) = serve(Manner::Greets).await;
        let mut plan = plan(vec![target("f", address)], 5);
        plan.protocol = protocol.unwrap_or(plan.protocol);
        let run = run(plan).await;
        assert_eq!(load::files::durations(&run.samples), "317\n".repeat(5));
    }
}

#[tokio::test]
async fn http_requests_are_sent_as_they_are_asked_for_over_connections_that_are_kept() {
    let (address, seen) = serve(Manner::Greets).await;
    let plan = Plan {
        protocol: http(Method::POST, "text"),
        // One after the other they need one.
        turns: Loop::Closed(1),
        ..plan(vec![target("f", address)], 30)
    };
    let summary = summary(&run(plan).await);
    assert_eq!(summary.completed, 30);
    assert_eq!(
        seen.lines.lock().expect("a lock")[0],
        "POST /some/path text"
    );
    let headers = seen.headers.lock().expect("a lock");
    assert_eq!(headers[0]["host"], "f.default.example.com");
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_closes_connections_is_no_failure() {
    let (address, seen) = serve(Manner::Closes).await;
    let plan = Plan {
        protocol: http(Method::GET, ""),
        ..plan(vec![target("f", address)], 20)
    };
    let summary = summary(&run(plan).await);
    assert_eq!((summary.completed, &summary.errors[..]), (20, &[][..]));
    assert_eq!(seen.connections.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn cold_and_warm_are_told_apart_by_what_the_gateway_says() {
    let (address, _) = serve(Manner::Cold(3)).await;
    let told = summary(&run(plan(vec![target("f", address)], 10)).await);
    assert_eq!((told.cold.count, told.warm.count), (3, 7));
    let (address, _) = serve(Manner::Greets).await;
    let untold = summary(&run(plan(vec![target("f", address)], 10)).await);
    assert_eq!((untold.cold.count, untold.warm.count), (0, 0));
    assert_eq!(untold.completed, 10);
}

#[tokio::test]
async fn more_connections_are_opened_when_answers_take_long() {
    // A server takes 200 streams at a time, and more wait than two connections have room for.
    let (address, seen) = serve(Manner::WaitsFor(450)).await;
    let mut plan = plan(vec![target("f", address)], 0);
    let length = std::time::Duration::from_millis(100);
    plan.schedule =
        load::arrivals::Schedule::of(load::arrivals::Process::Burst(450), 4500.0, length, 0);
    plan.length = length;
    let summary = summary(&run(plan).await);
    assert_eq!(summary.completed, 450);
    assert!(seen.connections.load(Ordering::SeqCst) >= 5);
}
