//! A span for each request, sent to a collector: Zipkin's (v2, JSON) or OpenTelemetry's (OTLP over HTTP, JSON).
//!
//! Requests carry their context in `traceparent` (W3C Trace Context) and `b3` (Zipkin's, in one header), so that what they cause
//! is part of their trace.

mod otlp;
mod zipkin;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{Outcome, Sample};

/// Spans in one message.
const BATCH: usize = 1000;
/// Spans that wait to be sent. What comes while there are so many is dropped, and told.
const WAITING: usize = 50_000;
/// What a collector may take for one message.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a collector understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Zipkin's API, version 2.
    Zipkin,
    /// OTLP/HTTP with a JSON body.
    Otlp,
}

/// A span that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    trace: u128,
    id: u64,
}

impl Span {
    /// With ids that nothing else has.
    pub(crate) fn begin() -> Self {
        // Neither may be zero.
        Self {
            trace: fastrand::u128(1..),
            id: fastrand::u64(1..),
        }
    }

    /// Adds the context to a request's headers.
    pub(crate) fn propagate(&self, headers: &mut HeaderMap) {
        let (trace, id) = (self.trace, self.id);
        let parent = HeaderValue::try_from(format!("00-{trace:032x}-{id:016x}-01"));
        let b3 = HeaderValue::try_from(format!("{trace:032x}-{id:016x}-1"));
        if let (Ok(parent), Ok(b3)) = (parent, b3) {
            headers.insert("traceparent", parent);
            headers.insert("b3", b3);
        }
    }
}

/// A span that has ended.
#[derive(Debug, Clone)]
struct Ended {
    trace: u128,
    id: u64,
    /// Since 1970.
    began: Duration,
    took: Duration,
    late: Duration,
    endpoint: String,
    outcome: Outcome,
}

/// Where ended spans go.
#[derive(Debug, Clone)]
pub struct Spans {
    queue: mpsc::Sender<Ended>,
    /// Spans for which there was no room.
    dropped: Arc<AtomicU64>,
}

/// How the sending went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Spans that the collector took.
    pub sent: u64,
    /// Spans that it did not.
    pub lost: u64,
    /// Why the first of these were lost.
    pub reason: Option<String>,
}

/// Starts to send spans. The task ends, and tells how it went, when all that is there of [`Spans`] has been dropped.
pub fn start(
    format: Format,
    url: String,
    http: reqwest::Client,
) -> (Spans, impl Future<Output = Delivery>) {
    let (queue, mut waiting) = mpsc::channel(WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let without_room = Arc::clone(&dropped);
    let delivery = async move {
        let mut delivery = Delivery::default();
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let body = match format {
                Format::Zipkin => zipkin::body(&batch),
                Format::Otlp => otlp::body(&batch),
            };
            match post(&http, &url, &body).await {
                Ok(()) => delivery.sent += batch.len() as u64,
                Err(reason) => {
                    delivery.lost += batch.len() as u64;
                    delivery.reason.get_or_insert(reason);
                }
            }
            batch.clear();
        }
        let without_room = without_room.load(Ordering::Relaxed);
        if without_room > 0 {
            delivery.lost += without_room;
            delivery
                .reason
                .get_or_insert_with(|| format!("they came faster than {url} took them"));
        }
        delivery
    };
    (Spans { queue, dropped }, delivery)
}

async fn post(http: &reqwest::Client, url: &str, body: &Value) -> Result<(), String> {
    let sent = http.post(url).timeout(PATIENCE).json(body).send().await;
    let response = sent.map_err(|error| chain(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!("{url} answered {status}"))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Spans {
    pub(crate) fn end(&self, span: Span, ended: SystemTime, endpoint: &str, sample: &Sample) {
        let took = Duration::from_nanos(sample.latency);
        let ended = ended.duration_since(SystemTime::UNIX_EPOCH);
        let ended = Ended {
            trace: span.trace,
            id: span.id,
            began: ended.unwrap_or_default().saturating_sub(took),
            took,
            late: Duration::from_nanos(sample.late.into()),
            endpoint: endpoint.to_owned(),
            outcome: sample.outcome,
        };
        // A collector that is too slow must not slow down the requests: what it does not get is told at the end.
        if self.queue.try_send(ended).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is told of a span beside its times.
fn attributes(span: &Ended) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("server.address", span.endpoint.clone()),
        ("vhive.late_us", span.late.as_micros().to_string()),
    ];
    match span.outcome {
        Outcome::Answered { start, function } => {
            attributes.push(("vhive.start", format!("{start:?}").to_lowercase()));
            if let Some(microseconds) = function {
                attributes.push(("vhive.function_us", microseconds.to_string()));
            }
        }
        Outcome::Failed(failure) => attributes.push(("error", failure.to_string())),
    }
    attributes
}

#[cfg(test)]
fn example() -> Vec<Ended> {
    use crate::{Failure, Start};
    let ended = |id, outcome| Ended {
        trace: 0x0af7_6519,
        id,
        began: Duration::from_nanos(1_700_000_000_123_456_789),
        took: Duration::from_micros(1500),
        late: Duration::from_micros(12),
        endpoint: "helloworld-0.default.127.0.0.1.sslip.io".to_owned(),
        outcome,
    };
    vec![
        ended(
            7,
            Outcome::Answered {
                start: Start::Cold,
                function: Some(42),
            },
        ),
        ended(8, Outcome::Failed(Failure::Grpc(14))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_context_in_both_forms() {
        let mut headers = HeaderMap::new();
        let span = Span { trace: 10, id: 11 };
        span.propagate(&mut headers);
        assert_eq!(
            headers["traceparent"],
            "00-0000000000000000000000000000000a-000000000000000b-01"
        );
        assert_eq!(
            headers["b3"],
            "0000000000000000000000000000000a-000000000000000b-1"
        );
    }
}
