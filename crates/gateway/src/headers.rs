//! What changes in the head of a message on its way through, and by which rule.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{
    CONNECTION, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri, Version, request, response};
use hyper::ext::Protocol;

use crate::fields::{Field, Fields};
use crate::forwarded::Client;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const SERVING_REVISION: HeaderName = HeaderName::from_static("knative-serving-revision");
const SERVING_NAMESPACE: HeaderName = HeaderName::from_static("knative-serving-namespace");
const PROXY_REQUEST: HeaderName = HeaderName::from_static("k-proxy-request");
pub(crate) const EXPLAIN: HeaderName = HeaderName::from_static("vhive-explain");

/// How a request goes on to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    Http1,
    Http2 { grpc: bool },
}

/// The authority that a request is for: of its target, else of its Host header (RFC 9112 §3.2.2).
pub(crate) fn authority<'a>(target: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match target.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
    .filter(|authority| !authority.is_empty())
}

/// A change of protocol that a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    protocol: HeaderValue,
    /// Asked for in HTTP/2, where it is an extended CONNECT (RFC 8441). To the instance it is made what it is in HTTP/1.1.
    pub(crate) extended: bool,
}

impl Upgrade {
    pub(crate) fn is_websocket(&self) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
    }
}

/// The protocol a client wants to change to. Not `h2c`: that kind of upgrade is gone (RFC 9113
/// §3.1), and a client that offers it goes on in HTTP/1.1.
pub(crate) fn wanted_upgrade<B>(request: &Request<B>, fields: Fields) -> Option<Upgrade> {
    if let Some(protocol) = extended_connect(request) {
        let protocol = HeaderValue::try_from(protocol.as_str()).ok()?;
        return Some(Upgrade {
            protocol,
            extended: true,
        });
    }
    if !fields.has(Field::Upgrade) || request.version() != Version::HTTP_11 {
        return None;
    }
    let protocol = request.headers().get(UPGRADE)?;
    let asked = connection_options(request.headers())
        .any(|option| option.eq_ignore_ascii_case("upgrade"))
        && !protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
    asked.then(|| Upgrade {
        protocol: protocol.clone(),
        extended: false,
    })
}

/// The protocol of an extended CONNECT, which is for a function as any other request; a CONNECT without one is for a forward proxy.
pub(crate) fn extended_connect<B>(request: &Request<B>) -> Option<&Protocol> {
    request.extensions().get()
}

pub(crate) fn is_grpc(headers: &HeaderMap, fields: Fields) -> bool {
    fields.has(Field::ContentType)
        && headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Makes the head of a client's request that of the request to the instance.
pub(crate) fn to_instance(
    parts: &mut request::Parts,
    fields: Fields,
    client: &Client,
    hop: Hop,
    upgrade: Option<&Upgrade>,
) {
    let host = match parts.uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => parts.headers.get(HOST).cloned(),
    };
    let headers = &mut parts.headers;
    let wants_trailers = fields.has(Field::Te)
        && headers.get_all(TE).iter().any(|value| {
            let text = value.to_str().unwrap_or_default();
            text.split(',')
                .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        });
    strip_hop_by_hop(headers, fields);
    strip_serving(headers, fields);
    if fields.has(Field::Explain) {
        headers.remove(EXPLAIN);
    }
    // One step of growth instead of several.
    headers.reserve(5);
    headers.insert(PROXY_REQUEST, HeaderValue::from_static("activator"));
    // Connection may have named any field, also those that come next.
    let left = if fields.has(Field::Connection) {
        Fields::of(headers)
    } else {
        fields
    };
    client.write(headers, left, host.as_ref());

    match hop {
        Hop::Http1 => {
            if parts.version == Version::HTTP_2 && fields.has(Field::Cookie) {
                join_cookies(headers);
            }
            if let (Some(_), Some(host)) = (parts.uri.authority(), host) {
                headers.insert(HOST, host);
                parts.uri = origin_form(&parts.uri);
            }
            if let Some(upgrade) = upgrade {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, upgrade.protocol.clone());
                if upgrade.extended {
                    parts.method = Method::GET;
                    // RFC 8441 §5: in HTTP/2 there is no key, and no answer to it.
                    if upgrade.is_websocket() {
                        headers.insert(SEC_WEBSOCKET_KEY, websocket_key());
                    }
                }
            } else if wants_trailers {
                headers.insert(CONNECTION, HeaderValue::from_static("te"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
            parts.version = Version::HTTP_11;
        }
        Hop::Http2 { grpc } => {
            headers.remove(HOST);
            if fields.has(Field::Expect) {
                headers.remove(EXPECT);
            }
            if wants_trailers || grpc {
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
            if let Some(host) = host {
                parts.uri = absolute_form(&parts.uri, &host);
            }
            parts.version = Version::HTTP_2;
        }
    }
}

/// Makes the head of an instance's response that of the response to the client. Tells whether the
/// instance's connection can be used again, which matters in HTTP/1.1.
pub(crate) fn from_instance(parts: &mut response::Parts, client_version: Version) -> bool {
    let headers = &mut parts.headers;
    let fields = Fields::of(headers);
    let close = fields.has(Field::Connection)
        && connection_options(headers).any(|option| option.eq_ignore_ascii_case("close"));
    let reusable = parts.version == Version::HTTP_11 && !close;
    let names_protocol = client_version == Version::HTTP_11
        && matches!(
            parts.status,
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED
        );
    let upgrade = if names_protocol {
        headers.get(UPGRADE).cloned()
    } else {
        None
    };
    strip_hop_by_hop(headers, fields);
    strip_serving(headers, fields);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    if parts.status == StatusCode::SWITCHING_PROTOCOLS && client_version == Version::HTTP_2 {
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        parts.status = StatusCode::OK;
    }
    parts.version = client_version;
    reusable
}

/// The head of an interim response as it goes to the client.
pub(crate) fn of_interim(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let fields = Fields::of(&headers);
    strip_hop_by_hop(&mut headers, fields);
    strip_serving(&mut headers, fields);
    headers
}

/// Sixteen bytes that differ from one opening handshake to the next (RFC 6455 §4.1).
fn websocket_key() -> HeaderValue {
    let text = BASE64.encode(fastrand::u128(..).to_ne_bytes());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// RFC 9110 §7.6.1: what Connection names, and what is known to be for one hop only.
fn strip_hop_by_hop(headers: &mut HeaderMap, fields: Fields) {
    if fields.has(Field::Connection) {
        let named: Vec<HeaderName> = connection_options(headers)
            .filter_map(|option| option.parse().ok())
            .filter(|name| name != HOST)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for (field, name) in [
        (Field::KeepAlive, KEEP_ALIVE),
        (Field::ProxyConnection, PROXY_CONNECTION),
        (Field::Te, TE),
        (Field::TransferEncoding, TRANSFER_ENCODING),
        (Field::Upgrade, UPGRADE),
    ] {
        if fields.has(field) {
            headers.remove(name);
        }
    }
}

/// What names the revision is between the ingress and the activator only.
fn strip_serving(headers: &mut HeaderMap, fields: Fields) {
    if fields.has(Field::ServingRevision) {
        headers.remove(SERVING_REVISION);
    }
    if fields.has(Field::ServingNamespace) {
        headers.remove(SERVING_NAMESPACE);
    }
}

/// HTTP/2 clients may split cookies, HTTP/1.1 servers want one field (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::try_from(parts.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .cloned()
        .map_or_else(Uri::default, Uri::from)
}

fn absolute_form(uri: &Uri, host: &HeaderValue) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Authority::try_from(host.as_bytes()).ok();
    let path = uri.path_and_query().cloned();
    parts.path_and_query = path.or(Some(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(build: impl FnOnce(request::Builder) -> request::Builder) -> Request<()> {
        build(Request::builder().uri("/path?q=1")).body(()).unwrap()
    }

    fn client() -> Client {
        Client::new("192.0.2.9".parse().unwrap(), false)
    }

    fn pass(request: Request<()>, hop: Hop) -> request::Parts {
        let fields = Fields::of(request.headers());
        let upgrade = wanted_upgrade(&request, fields);
        let (mut parts, ()) = request.into_parts();
        to_instance(&mut parts, fields, &client(), hop, upgrade.as_ref());
        parts
    }

    #[test]
    fn hop_by_hop_fields_and_those_that_connection_names_stay_behind() {
        let parts = pass(
            head(|head| {
                head.header("host", "a.example")
                    .header("connection", "close, X-Once, host")
                    .header("x-once", "1")
                    .header("keep-alive", "timeout=5")
                    .header("proxy-connection", "keep-alive")
                    .header("te", "gzip")
                    .header("upgrade", "websocket")
                    .header("x-kept", "1")
            }),
            Hop::Http1,
        );
        for gone in [
            "connection",
            "x-once",
            "keep-alive",
            "proxy-connection",
            "te",
            "upgrade",
        ] {
            assert!(!parts.headers.contains_key(gone), "{gone}");
        }
        assert_eq!(parts.headers["x-kept"], "1");
        assert_eq!(parts.headers["host"], "a.example");
    }

    #[test]
    fn what_names_the_revision_stays_inside() {
        let parts = pass(
            head(|head| {
                head.header("host", "a")
                    .header("knative-serving-revision", "r")
                    .header("knative-serving-namespace", "n")
                    .header("vhive-explain", "1")
            }),
            Hop::Http1,
        );
        for gone in [
            "knative-serving-revision",
            "knative-serving-namespace",
            "vhive-explain",
        ] {
            assert!(!parts.headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_overrides_the_host_field() {
        let request = head(|head| head.uri("http://b.example/x?y").header("host", "a.example"));
        assert_eq!(
            authority(request.uri(), request.headers()),
            Some("b.example")
        );
        let parts = pass(request, Hop::Http1);
        assert_eq!(parts.uri, "/x?y");
        assert_eq!(parts.headers["host"], "b.example");
    }

    #[test]
    fn http2_gets_an_authority_instead_of_a_host_field() {
        let parts = pass(
            head(|head| {
                head.header("host", "a.example")
                    .header("expect", "100-continue")
            }),
            Hop::Http2 { grpc: true },
        );
        assert_eq!(parts.uri, "http://a.example/path?q=1");
        assert!(!parts.headers.contains_key("host"));
        assert!(!parts.headers.contains_key("expect"));
        assert_eq!(parts.headers["te"], "trailers");
    }

    #[test]
    fn cookies_split_by_http2_are_joined_for_http1() {
        let parts = pass(
            head(|head| {
                head.version(Version::HTTP_2)
                    .header("cookie", "a=1")
                    .header("cookie", "b=2")
            }),
            Hop::Http1,
        );
        assert_eq!(parts.headers.get_all("cookie").iter().count(), 1);
        assert_eq!(parts.headers["cookie"], "a=1; b=2");
    }

    #[test]
    fn an_upgrade_passes_but_not_to_h2c() {
        let upgrade = |protocol: &str| {
            head(|head| {
                head.header("connection", "keep-alive, Upgrade")
                    .header("upgrade", protocol)
            })
        };
        let parts = pass(upgrade("websocket"), Hop::Http1);
        assert_eq!(parts.headers["connection"], "upgrade");
        assert_eq!(parts.headers["upgrade"], "websocket");
        let h2c = upgrade("h2c");
        assert_eq!(wanted_upgrade(&h2c, Fields::of(h2c.headers())), None);
    }

    #[test]
    fn only_grpc_itself_is_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=1", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let request = head(|head| head.header("content-type", content_type));
            let headers = request.headers();
            assert_eq!(
                is_grpc(headers, Fields::of(headers)),
                expected,
                "{content_type}"
            );
        }
    }
}
