//! OTLP's JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids in hexadecimal, 64-bit numbers as text.

use serde_json::{Value, json};

use super::{Ended, attributes};
use crate::Outcome;

/// `SPAN_KIND_CLIENT`.
const CLIENT: u8 = 3;
// STATUS_CODE_OK and STATUS_CODE_ERROR.
const OK: u8 = 1;
const ERROR: u8 = 2;

pub(super) fn body(spans: &[Ended]) -> Value {
    let spans: Vec<_> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", "invoker")]},
        "scopeSpans": [{
            "scope": {"name": "vhive", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
}

fn span(span: &Ended) -> Value {
    let attributes = attributes(span).into_iter();
    let attributes: Vec<_> = attributes
        .map(|(name, value)| attribute(name, &value))
        .collect();
    let status = match span.outcome {
        Outcome::Answered { .. } => json!({"code": OK}),
        Outcome::Failed(failure) => json!({"code": ERROR, "message": failure.to_string()}),
    };
    json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.id),
        "name": "invoke",
        "kind": CLIENT,
        "startTimeUnixNano": span.began.as_nanos().to_string(),
        "endTimeUnixNano": (span.began + span.took).as_nanos().to_string(),
        "attributes": attributes,
        "status": status,
    })
}

fn attribute(name: &str, value: &str) -> Value {
    json!({"key": name, "value": {"stringValue": value}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_what_a_collector_reads() {
        let body = body(&super::super::example());
        let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans[0]["traceId"], "0000000000000000000000000af76519");
        assert_eq!(spans[0]["spanId"], "0000000000000007");
        assert_eq!(spans[0]["startTimeUnixNano"], "1700000000123456789");
        assert_eq!(spans[0]["endTimeUnixNano"], "1700000000124956789");
        assert_eq!(spans[0]["status"], json!({"code": 1}));
        assert_eq!(
            spans[1]["status"],
            json!({"code": 2, "message": "gRPC 14 UNAVAILABLE"})
        );
        assert_eq!(
            spans[1]["attributes"][0],
            json!({"key": "server.address", "value": {"stringValue": "helloworld-0.default.127.0.0.1.sslip.io"}})
        );
    }
}
