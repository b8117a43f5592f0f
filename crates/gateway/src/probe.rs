//! Probes of the network (`K-Network-Probe`) and of the kubelet: answered here, on any path, without waking
//! a function.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Response, StatusCode};

use crate::body::ResponseBody;
use crate::fields::{Field, Fields};

const NETWORK_PROBE: HeaderName = HeaderName::from_static("k-network-probe");
/// Sent with `K-Network-Probe: probe` and expected back: which version of the routes answered.
const NETWORK_HASH: HeaderName = HeaderName::from_static("k-network-hash");
const KUBELET: &[u8] = b"kube-probe/";

/// The answer if the request is a probe. `ready` tells whether the revision for the request's host has a
/// ready endpoint; `None` if there is no such host.
pub(crate) fn answer(
    headers: &HeaderMap,
    fields: Fields,
    draining: bool,
    ready: impl FnOnce() -> Option<bool>,
) -> Option<Response<ResponseBody>> {
    if !fields.has(Field::NetworkProbe) && !fields.has(Field::UserAgent) {
        return None;
    }
    let kind = if fields.has(Field::NetworkProbe) {
        headers.get(NETWORK_PROBE)
    } else {
        None
    };
    let Some(kind) = kind else {
        let agent = headers.get(USER_AGENT)?.as_bytes();
        return agent
            .starts_with(KUBELET)
            .then(|| text(ok_unless(draining), "gateway"));
    };
    if draining {
        return Some(text(StatusCode::SERVICE_UNAVAILABLE, "draining"));
    }
    Some(match kind.as_bytes() {
        b"activator" => text(StatusCode::OK, "activator"),
        b"queue" => text(ok_unless(ready() != Some(true)), "queue"),
        b"probe" => {
            let status = match ready() {
                Some(_) => StatusCode::OK,
                None => StatusCode::NOT_FOUND,
            };
            let mut response = text(status, "probe");
            if let Some(hash) = headers.get(NETWORK_HASH) {
                response.headers_mut().insert(NETWORK_HASH, hash.clone());
            }
            response
        }
        _ => text(
            StatusCode::BAD_REQUEST,
            format!("unexpected probe header value: {kind:?}"),
        ),
    })
}

fn ok_unless(unavailable: bool) -> StatusCode {
    if unavailable {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: &'static str, value: &str, draining: bool, ready: Option<bool>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        answer(&headers, Fields::of(&headers), draining, || ready)
            .map(|response| response.status().as_u16())
    }

    #[test]
    fn each_probe_gets_its_answer_and_nothing_else_is_one() {
        let probe = "k-network-probe";
        for (name, value, draining, ready, expected) in [
            (probe, "activator", false, None, Some(200)),
            (probe, "queue", false, Some(true), Some(200)),
            (probe, "queue", false, Some(false), Some(503)),
            (probe, "probe", false, Some(false), Some(200)),
            (probe, "probe", false, None, Some(404)),
            (probe, "other", false, None, Some(400)),
            (probe, "activator", true, Some(true), Some(503)),
            ("user-agent", "kube-probe/1.33", false, None, Some(200)),
            ("user-agent", "kube-probe/1.33", true, None, Some(503)),
            ("user-agent", "curl/8", true, None, None),
        ] {
            assert_eq!(
                status(name, value, draining, ready),
                expected,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn the_hash_of_a_network_probe_comes_back() {
        let mut headers = HeaderMap::new();
        headers.insert("k-network-probe", HeaderValue::from_static("probe"));
        headers.insert("k-network-hash", HeaderValue::from_static("abc"));
        let response = answer(&headers, Fields::of(&headers), false, || Some(true)).unwrap();
        assert_eq!(response.headers()["k-network-hash"], "abc");
    }
}
