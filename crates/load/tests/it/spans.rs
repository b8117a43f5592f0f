//! Spans reach a collector, and requests carry their context.

use load::spans::{Delivery, Format, start};
use serde_json::Value;

use crate::backend::{Manner, closed_port, serve};
use crate::{plan, run, target};

fn client() -> reqwest::Client {
    // Whichever test comes first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build();
    client.expect("a client")
}

#[tokio::test]
async fn a_collector_gets_a_span_of_each_request() {
    for format in [Format::Zipkin, Format::Otlp] {
        let (collector, collected) = serve(Manner::Greets).await;
        let (function, seen) = serve(Manner::Greets).await;
        let url = format!("http://{collector}/spans");
        let (spans, delivery) = start(format, url, client());
        let delivery = tokio::spawn(delivery);
        let mut plan = plan(vec![target("f", function)], 12);
        plan.spans = Some(spans);
        run(plan).await;
        let delivery = delivery.await.expect("a task");
        assert_eq!((delivery.sent, delivery.lost), (12, 0));
        let lines = collected.lines.lock().expect("a lock");
        let bodies: Vec<Value> = lines
            .iter()
            .map(|line| {
                let body = line.strip_prefix("POST /spans ").expect("a message");
                serde_json::from_str(body).expect("JSON")
            })
            .collect();
        let ids: Vec<_> = bodies
            .iter()
            .flat_map(|body| match format {
                Format::Zipkin => body.as_array().cloned().unwrap_or_default(),
                Format::Otlp => body["resourceSpans"][0]["scopeSpans"][0]["spans"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            })
            .map(|span| span["traceId"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(ids.len(), 12);
        let headers = seen.headers.lock().expect("a lock");
        for headers in headers.iter() {
            let parent = headers["traceparent"].to_str().expect("text");
            let trace = parent.split('-').nth(1).expect("a trace");
            assert!(ids.iter().any(|id| id == trace), "{trace}");
        }
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_loses_spans_and_no_request() {
    let (address, _bound) = closed_port();
    let (function, _) = serve(Manner::Greets).await;
    let (spans, delivery) = start(Format::Zipkin, format!("http://{address}/"), client());
    let delivery = tokio::spawn(delivery);
    let mut plan = plan(vec![target("f", function)], 5);
    plan.spans = Some(spans);
    assert_eq!(crate::summary(&run(plan).await).completed, 5);
    let Delivery { sent, lost, reason } = delivery.await.expect("a task");
    assert_eq!((sent, lost), (0, 5));
    assert!(reason.is_some_and(|reason| reason.contains("refused")));
}
