//! Each failure by its name, with how often it was.

use std::time::Duration;

use load::{Errors, Plan};

use crate::backend::{Manner, Rude, closed_port, dead_host, serve, serve_rudely};
use crate::{plan, run, summary, target};

/// Kind, endpoint and count, sorted.
fn named(errors: &[Errors]) -> Vec<(String, String, u64)> {
    let named = errors.iter().map(|it| {
        let endpoint = it.endpoint.split('.').next().unwrap_or_default();
        (endpoint.to_owned(), it.kind.clone(), it.count)
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    named
}

fn expected(errors: &[(&str, &str)], count: u64) -> Vec<(String, String, u64)> {
    let mut all: Vec<_> = errors
        .iter()
        .map(|(endpoint, kind)| ((*endpoint).to_owned(), (*kind).to_owned(), count))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn every_failure_is_counted_by_its_kind_and_endpoint() {
    let (closed, _bound) = closed_port();
    let dead = dead_host().await;
    let targets = vec![
        target("closed", closed),
        target("dead", dead.address),
        target("silent", serve(Manner::Silent).await.0),
        target("resets", serve_rudely(Rude::Resets).await),
        target("closes", serve_rudely(Rude::Closes).await),
        target("babbles", serve_rudely(Rude::Babbles).await),
        target("unavailable", serve(Manner::Unavailable).await.0),
        target("overloaded", serve(Manner::Overloaded).await.0),
        target("good", serve(Manner::Greets).await.0),
    ];
    let plan = Plan {
        timeout: Duration::from_secs(2),
        ..plan(targets, 9 * 4)
    };
    let summary = summary(&run(plan).await);
    assert_eq!(
        named(&summary.errors),
        expected(
            &[
                ("closed", "connection refused"),
                ("dead", "connect timed out"),
                ("silent", "timed out"),
                ("resets", "connection reset"),
                ("closes", "connection closed"),
                ("babbles", "protocol error"),
                ("unavailable", "gRPC 14 UNAVAILABLE"),
                ("overloaded", "HTTP 503"),
            ],
            4
        ),
        "{:#?}",
        summary.errors
    );
    assert_eq!((summary.issued, summary.completed), (36, 4));
    let said = |kind: &str| {
        let found = summary.errors.iter().find(|it| it.kind == kind);
        found.map(|it| it.message.clone())
    };
    assert_eq!(said("gRPC 14 UNAVAILABLE").as_deref(), Some("no instance"));
    assert_eq!(said("HTTP 503").as_deref(), Some("no room"));
    assert_eq!(said("timed out").as_deref(), Some("no answer within 2 s"));
}

#[tokio::test]
async fn the_same_holds_for_http() {
    let (closed, _bound) = closed_port();
    let targets = vec![
        target("closed", closed),
        target("silent", serve(Manner::Silent).await.0),
        target("resets", serve_rudely(Rude::Resets).await),
        target("closes", serve_rudely(Rude::Closes).await),
        target("babbles", serve_rudely(Rude::Babbles).await),
        target("overloaded", serve(Manner::Overloaded).await.0),
    ];
    let mut plan = plan(targets, 6 * 3);
    plan.timeout = Duration::from_secs(2);
    plan.protocol = load::generator::Protocol::Http {
        method: http::Method::GET,
        path: http::uri::PathAndQuery::from_static("/"),
        body: bytes::Bytes::new(),
    };
    let summary = summary(&run(plan).await);
    assert_eq!(
        named(&summary.errors),
        expected(
            &[
                ("closed", "connection refused"),
                ("silent", "timed out"),
                ("resets", "connection reset"),
                ("closes", "connection closed"),
                ("babbles", "protocol error"),
                ("overloaded", "HTTP 503"),
            ],
            3
        ),
        "{:#?}",
        summary.errors
    );
    assert!(summary.all_failed());
}

#[tokio::test]
async fn a_plain_web_server_is_told_apart_from_one_that_speaks_grpc() {
    let (address, _) = serve(Manner::Greets).await;
    let mut plan = plan(vec![target("web", address)], 1);
    plan.protocol = load::generator::Protocol::Grpc {
        name: String::new(),
    };
    let good = summary(&run(plan).await);
    assert_eq!(good.completed, 1);
    let web = serve_rudely(Rude::Babbles).await;
    let failed = summary(&run(crate::plan(vec![target("web", web)], 1)).await);
    assert_eq!(failed.errors[0].kind, "protocol error");
}
