//! Every reason for which the gateway answers a request itself, and the one place where they become
//! responses: plain text, or a gRPC status for those who speak gRPC.

use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use tokio::time::Instant;

use crate::body::ResponseBody;
use crate::config::Failure;
use crate::key::RevisionKey;
use crate::upstream::WireError;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What is to be said beside a body whose words are laid down.
const REASON: HeaderName = HeaderName::from_static("vhive-reason");

/// Why a request was not answered by an instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the request names no host: send a Host header (or :authority) with the function's host name"
    )]
    NoHost,
    #[error("no route for host {host:?}: `vhive get routes` lists the routes and their hosts")]
    UnknownHost { host: String },
    #[error("CONNECT is not served here: this is a gateway to functions, not a forward proxy")]
    Connect,
    #[error(
        "revision {0} is routed to but does not exist: `vhive get revisions` lists those that do"
    )]
    UnknownRevision(RevisionKey),
    #[error(
        "{bound} requests already wait for revision {key}: raise its max-scale or containerConcurrency, \
         or send less"
    )]
    QueueFull { key: RevisionKey, bound: usize },
    #[error(
        "no instance of revision {key} {} within {timeout:?}; `vhive describe` tells its state",
        if *.ready { "was free" } else { "became ready" }
    )]
    QueueTimeout {
        key: RevisionKey,
        timeout: Duration,
        ready: bool,
    },
    #[error(
        "revision {key} has no instance{}: {}: {}",
        wait(failure).map(|seconds| format!(", and is tried again in {seconds} s")).unwrap_or_default(),
        .failure.reason,
        .failure.message
    )]
    Failed { key: RevisionKey, failure: Failure },
    #[error("cannot reach instance {endpoint} of revision {key} after {attempts} attempts")]
    Unreachable {
        key: RevisionKey,
        endpoint: String,
        attempts: u32,
        source: io::Error,
    },
    #[error("instance {endpoint} of revision {key} broke off before it answered")]
    BrokeOff {
        key: RevisionKey,
        endpoint: String,
        source: WireError,
    },
    #[error("instance {endpoint} of revision {key} changed protocol without being asked to")]
    UnaskedUpgrade { key: RevisionKey, endpoint: String },
    #[error(
        "instance {endpoint} of revision {key} does not change to the protocol that was asked for: it answered {status}"
    )]
    UpgradeIgnored {
        key: RevisionKey,
        endpoint: String,
        status: StatusCode,
    },
    #[error("revision {key} did not answer within its {limit} of {timeout:?}")]
    RequestTimeout {
        key: RevisionKey,
        limit: Limit,
        timeout: Duration,
    },
}

/// A limit of a revision on the time that its instances take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Total,
    ResponseStart,
    Idle,
}

impl fmt::Display for Limit {
    /// As the field of the revision is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Total => "timeoutSeconds",
            Self::ResponseStart => "responseStartTimeoutSeconds",
            Self::Idle => "idleTimeoutSeconds",
        })
    }
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::UnknownHost { .. } => StatusCode::NOT_FOUND,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownRevision(_) | Self::QueueFull { .. } | Self::Failed { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unreachable { .. }
            | Self::BrokeOff { .. }
            | Self::UnaskedUpgrade { .. }
            | Self::UpgradeIgnored { .. } => StatusCode::BAD_GATEWAY,
            Self::QueueTimeout { .. } | Self::RequestTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What Knative's queue-proxy answers in the same case, to the letter: programs compare it.
    fn knative_body(&self) -> Option<&'static str> {
        match self {
            Self::RequestTimeout { .. } => Some("request timeout"),
            Self::QueueFull { .. } => Some("pending request queue full\n"),
            _ => None,
        }
    }

    /// The answer. A gRPC client gets a trailers-only response
    /// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
    pub(crate) fn into_response(self, grpc: bool) -> Response<ResponseBody> {
        let status = self.status();
        let mut text = self.to_string();
        let mut source = std::error::Error::source(&self);
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        if grpc {
            let mut response = Response::new(ResponseBody::empty());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from(grpc_code(status)));
            headers.insert(GRPC_MESSAGE, grpc_message(&text));
            return response;
        }
        let (body, reason) = match self.knative_body() {
            Some(body) => (
                Bytes::from_static(body.as_bytes()),
                HeaderValue::try_from(text).ok(),
            ),
            None => (Bytes::from(text + "\n"), None),
        };
        let mut response = Response::new(ResponseBody::text(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if let Some(reason) = reason {
            headers.insert(REASON, reason);
        }
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        let wait = match &self {
            Self::QueueFull { .. } => Some(1),
            Self::Failed { failure, .. } => wait(failure),
            _ => None,
        };
        if let Some(seconds) = wait {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Whole seconds until the next try, at least one, as `Retry-After` has them (RFC 9110, section 10.2.3).
fn wait(failure: &Failure) -> Option<u64> {
    let left = failure.next_try?.duration_since(Instant::now());
    Some(left.as_secs() + 1)
}

/// The trailers that end a gRPC stream which ran out of time after its head was sent.
pub(crate) fn grpc_timeout_trailers() -> http::HeaderMap {
    let mut trailers = http::HeaderMap::with_capacity(2);
    trailers.insert(
        GRPC_STATUS,
        HeaderValue::from(grpc_code(StatusCode::GATEWAY_TIMEOUT)),
    );
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static("request timeout"));
    trailers
}

/// Codes of `google.rpc.Code`.
fn grpc_code(status: StatusCode) -> u16 {
    match status {
        StatusCode::BAD_REQUEST => 13, // INTERNAL
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => 12, // UNIMPLEMENTED
        StatusCode::GATEWAY_TIMEOUT => 4, // DEADLINE_EXCEEDED
        _ => 14,                       // UNAVAILABLE
    }
}

/// Percent-encodes all but printable ASCII, and the percent sign.
fn grpc_message(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    HeaderValue::try_from(encoded).unwrap_or_else(|_| HeaderValue::from_static("unprintable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_message_is_percent_encoded() {
        assert_eq!(
            grpc_message("100% of näh\nx"),
            "100%25 of n%C3%A4h%0Ax",
            "percent, non-ASCII and control bytes"
        );
    }

    #[test]
    fn statuses_map_to_grpc_codes() {
        for (status, code) in [(503, 14), (502, 14), (504, 4), (404, 12)] {
            assert_eq!(grpc_code(StatusCode::from_u16(status).unwrap()), code);
        }
    }
}
