//! Telling the instance who asked: X-Forwarded-For and its companions, and Forwarded (RFC 7239), which is
//! built from them unless somebody before did.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::fields::{Field, Fields};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The client at the other end of a connection.
pub(crate) struct Client {
    address: HeaderValue,
    /// `http` or `https`.
    proto: &'static str,
    /// The last host asked for and the Forwarded field that goes with it: nearly always the next one's too.
    last: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl Client {
    /// `secure` if it came over TLS.
    pub(crate) fn new(ip: IpAddr, secure: bool) -> Self {
        let text = ip.to_canonical().to_string();
        Self {
            address: HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown")),
            proto: if secure { "https" } else { "http" },
            last: Mutex::default(),
        }
    }

    /// Appends the client to X-Forwarded-For and fills in the rest.
    pub(crate) fn write(
        &self,
        headers: &mut HeaderMap,
        fields: Fields,
        host: Option<&HeaderValue>,
    ) {
        let first_hop = !fields.has(Field::ForwardedFor)
            && !fields.has(Field::ForwardedProto)
            && !fields.has(Field::ForwardedHost);
        if first_hop && let Some(host) = host {
            headers.insert(FOR, self.address.clone());
            headers.insert(HOST, host.clone());
            headers.insert(PROTO, HeaderValue::from_static(self.proto));
            if !fields.has(Field::Forwarded)
                && let Some(value) = self.forwarded(host)
            {
                headers.insert(FORWARDED, value);
            }
        } else {
            self.append(headers, host);
        }
    }

    fn forwarded(&self, host: &HeaderValue) -> Option<HeaderValue> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, value)) = &*last
            && known == host
        {
            return Some(value.clone());
        }
        let text = forwarded(text(&self.address), self.proto, text(host));
        let value = HeaderValue::try_from(text).ok()?;
        *last = Some((host.clone(), value.clone()));
        Some(value)
    }

    fn append(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>) {
        let mut chain = Vec::new();
        for value in headers.get_all(FOR) {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(self.address.as_bytes());
        let chain = HeaderValue::try_from(chain).unwrap_or_else(|_| self.address.clone());
        headers.insert(FOR, chain.clone());
        let proto = headers
            .entry(PROTO)
            .or_insert(HeaderValue::from_static(self.proto))
            .clone();
        if let (false, Some(host)) = (headers.contains_key(HOST), host) {
            headers.insert(HOST, host.clone());
        }
        if !headers.contains_key(FORWARDED) {
            let host = headers.get(HOST).map_or("", text);
            let value = forwarded(text(&chain), text(&proto), host);
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(FORWARDED, value);
            }
        }
    }
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// `for=192.0.2.1;host=a.example;proto=http, for="[2001:db8::1]"`.
fn forwarded(chain: &str, proto: &str, host: &str) -> String {
    let mut text = String::with_capacity(chain.len() + proto.len() + host.len() + 24);
    for (index, node) in chain.split(',').map(str::trim).enumerate() {
        text.push_str(if index == 0 { "for=" } else { ", for=" });
        if node.contains(':') && !node.starts_with('[') && node.parse::<IpAddr>().is_ok() {
            let _ = write!(text, "\"[{node}]\"");
        } else {
            push_value(&mut text, node);
        }
        if index == 0 {
            for (name, value) in [(";host=", host), (";proto=", proto)] {
                if !value.is_empty() {
                    text.push_str(name);
                    push_value(&mut text, value);
                }
            }
        }
    }
    text
}

/// A token as it is, anything else quoted (RFC 9110 §5.6.2, §5.6.4).
fn push_value(text: &mut String, value: &str) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !value.is_empty() && value.bytes().all(token) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of FOR, HOST, PROTO and FORWARDED after `fields` has passed.
    fn pass(client: &Client, fields: &[(&'static str, &str)]) -> [String; 4] {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let host = HeaderValue::from_static("a.example:80");
        let present = Fields::of(&headers);
        client.write(&mut headers, present, Some(&host));
        [FOR, HOST, PROTO, FORWARDED].map(|name| text(&headers[name]).to_owned())
    }

    #[test]
    fn the_first_hop_names_the_client_every_time() {
        let client = Client::new("::ffff:192.0.2.9".parse().unwrap(), false);
        for _ in 0..2 {
            assert_eq!(
                pass(&client, &[]),
                [
                    "192.0.2.9",
                    "a.example:80",
                    "http",
                    r#"for=192.0.2.9;host="a.example:80";proto=http"#,
                ]
            );
        }
    }

    #[test]
    fn a_later_hop_is_appended() {
        let client = Client::new("192.0.2.9".parse().unwrap(), false);
        let before = [
            ("x-forwarded-for", "2001:db8::1"),
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "b.example"),
        ];
        assert_eq!(
            pass(&client, &before),
            [
                "2001:db8::1, 198.51.100.7, 192.0.2.9",
                "b.example",
                "https",
                r#"for="[2001:db8::1]";host=b.example;proto=https, for=198.51.100.7, for=192.0.2.9"#,
            ]
        );
    }

    #[test]
    fn a_forwarded_field_that_is_there_is_left_alone() {
        let client = Client::new("192.0.2.9".parse().unwrap(), false);
        for before in [
            &[("forwarded", "for=_x")][..],
            &[("forwarded", "for=_x"), ("x-forwarded-for", "_x")],
        ] {
            assert_eq!(pass(&client, before)[3], "for=_x");
        }
    }
}
