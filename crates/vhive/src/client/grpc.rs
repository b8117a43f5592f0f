//! gRPC's unary framing, for the one method that sample functions share: `helloworld.Greeter/SayHello`.

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use prost::Message;

/// Path of the method on the wire.
pub(crate) const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";
const PREFIX_BYTES: usize = 5;

/// `helloworld.HelloRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HelloRequest {
    /// Whom to greet.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `helloworld.HelloReply`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HelloReply {
    /// The greeting.
    #[prost(string, tag = "1")]
    pub(crate) message: String,
}

/// One message with its length prefix.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

/// Reads the reply out of a response's body, after its status in `headers` (of a trailers-only response) or
/// `trailers`.
pub(crate) fn reply(
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body: &[u8],
) -> Result<HelloReply> {
    let source = trailers
        .filter(|map| map.contains_key("grpc-status"))
        .unwrap_or(headers);
    let text = |name| source.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => {}
        Some(code) => {
            let message = percent_decode(text("grpc-message").unwrap_or_default());
            bail!("gRPC status {code}: {message}");
        }
        None => bail!("the response has no grpc-status: this is not a gRPC server"),
    }
    let (prefix, message) = body
        .split_at_checked(PREFIX_BYTES)
        .context("the response has no message")?;
    if prefix.first() != Some(&0) {
        bail!("the response is compressed, which was not asked for");
    }
    HelloReply::decode(message).context("the response is not a HelloReply")
}

/// `grpc-message` is percent-encoded (gRPC over HTTP/2, "Status-Message").
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let escaped = (byte == b'%')
            .then(|| Some((hex(ahead.next()?)? << 4) | hex(ahead.next()?)?))
            .flatten();
        match escaped {
            Some(value) => {
                out.push(value);
                bytes = ahead;
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_reply_is_read_after_its_status() {
        let body = frame(&HelloReply {
            message: "Hello, Ada! 3".into(),
        });
        let trailers = headers(&[("grpc-status", "0")]);
        let read = reply(&HeaderMap::new(), Some(&trailers), &body).unwrap();
        assert_eq!(read.message, "Hello, Ada! 3");
    }

    #[test]
    fn a_failure_carries_the_servers_own_words() {
        let status = headers(&[
            ("grpc-status", "14"),
            ("grpc-message", "no instance: 100%25 busy%"),
        ]);
        let error = reply(&status, None, &[]).unwrap_err();
        assert_eq!(error.to_string(), "gRPC status 14: no instance: 100% busy%");
    }

    #[test]
    fn a_plain_web_server_is_told_apart() {
        assert!(
            reply(&HeaderMap::new(), None, b"<html>")
                .unwrap_err()
                .to_string()
                .contains("not a gRPC server")
        );
    }
}
