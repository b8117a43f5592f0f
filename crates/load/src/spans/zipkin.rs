//! Zipkin's JSON, version 2 (<https://zipkin.io/zipkin-api/>): times in microseconds.

use serde_json::{Map, Value, json};

use super::{Ended, attributes};

pub(super) fn body(spans: &[Ended]) -> Value {
    spans.iter().map(span).collect()
}

fn span(span: &Ended) -> Value {
    let tags = attributes(span).into_iter();
    let tags: Map<_, _> = tags
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    json!({
        "traceId": format!("{:032x}", span.trace),
        "id": format!("{:016x}", span.id),
        "name": "invoke",
        "kind": "CLIENT",
        "timestamp": span.began.as_micros() as u64,
        // Zipkin takes zero for unknown.
        "duration": (span.took.as_micros() as u64).max(1),
        "localEndpoint": {"serviceName": "invoker"},
        "remoteEndpoint": {"serviceName": span.endpoint},
        "tags": tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_what_zipkin_reads() {
        let body = body(&super::super::example());
        assert_eq!(
            body[0],
            json!({
                "traceId": "0000000000000000000000000af76519",
                "id": "0000000000000007",
                "name": "invoke",
                "kind": "CLIENT",
                "timestamp": 1_700_000_000_123_456_u64,
                "duration": 1500,
                "localEndpoint": {"serviceName": "invoker"},
                "remoteEndpoint": {"serviceName": "helloworld-0.default.127.0.0.1.sslip.io"},
                "tags": {
                    "server.address": "helloworld-0.default.127.0.0.1.sslip.io",
                    "vhive.late_us": "12",
                    "vhive.start": "cold",
                    "vhive.function_us": "42",
                },
            })
        );
        assert_eq!(body[1]["tags"]["error"], "gRPC 14 UNAVAILABLE");
    }
}
