//! gRPC's unary framing, for the one method that sample functions share: `helloworld.Greeter/SayHello`.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use prost::Message;

/// Path of the method on the wire.
pub const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";
const PREFIX_BYTES: usize = 5;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's own answer.
    #[error("gRPC status {code}: {message}")]
    Status {
        /// As gRPC numbers them.
        code: u16,
        /// The server's words, decoded.
        message: String,
    },
    /// Whoever answered does not speak gRPC.
    #[error("the response has no grpc-status: this is not a gRPC server")]
    NoStatus,
    /// The status is no number.
    #[error("the response has the grpc-status {0:?}, which is no number")]
    StatusForm(String),
    /// A good status and nothing else.
    #[error("the response has no message")]
    NoMessage,
    /// With a flag that nobody set in the request.
    #[error("the response is compressed, which was not asked for")]
    Compressed,
    /// The message is another.
    #[error("the response is not a HelloReply")]
    Message(#[source] prost::DecodeError),
}

/// `helloworld.HelloRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct HelloRequest {
    /// Whom to greet.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `helloworld.HelloReply`.
#[derive(Clone, PartialEq, Message)]
pub struct HelloReply {
    /// The greeting.
    #[prost(string, tag = "1")]
    pub message: String,
}

/// One message with its length prefix.
pub fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

/// Reads the reply out of a response's body, after its status in `headers` (of a trailers-only response) or
/// `trailers`.
pub fn reply(
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body: &[u8],
) -> Result<HelloReply, Error> {
    let source = trailers
        .filter(|map| map.contains_key("grpc-status"))
        .unwrap_or(headers);
    let text = |name| source.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => {}
        Some(code) => {
            return Err(Error::Status {
                code: code
                    .parse()
                    .map_err(|_| Error::StatusForm(code.to_owned()))?,
                message: percent_decode(text("grpc-message").unwrap_or_default()),
            });
        }
        None => return Err(Error::NoStatus),
    }
    let (prefix, message) = body
        .split_at_checked(PREFIX_BYTES)
        .ok_or(Error::NoMessage)?;
    if prefix.first() != Some(&0) {
        return Err(Error::Compressed);
    }
    HelloReply::decode(message).map_err(Error::Message)
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
