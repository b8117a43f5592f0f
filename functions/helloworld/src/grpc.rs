//! The gRPC side: one unary method, so one message in and one out with its trailers
//! (gRPC over HTTP/2: length-prefixed messages, status in the trailers).

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt, Full};
use prost::Message;

use crate::Body;

const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";
const PREFIX_BYTES: usize = 5;

/// `helloworld.HelloRequest` of gRPC's own examples.
#[derive(Clone, PartialEq, Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

/// `helloworld.HelloReply` of gRPC's own examples.
#[derive(Clone, PartialEq, Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

/// Status codes of gRPC that this function uses.
#[derive(Clone, Copy)]
enum Code {
    InvalidArgument = 3,
    Unimplemented = 12,
}

/// Answers one call. The last word of the greeting is the function's own time in microseconds, which a load
/// generator can read as the function's share of the latency.
pub(crate) fn respond(path: &str, body: &Bytes, started: Instant) -> Response<Body> {
    if path != SAY_HELLO {
        return failure(
            Code::Unimplemented,
            "only helloworld.Greeter/SayHello is served here",
        );
    }
    let Some(request) = decode(body) else {
        return failure(Code::InvalidArgument, "not one uncompressed HelloRequest");
    };
    let micros = started.elapsed().as_micros();
    let reply = HelloReply {
        message: format!("Hello, {}! {micros}", request.name),
    };
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + reply.encoded_len());
    frame.put_u8(0);
    frame.put_u32(reply.encoded_len() as u32);
    frame.put_slice(&reply.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    grpc(
        Full::new(frame.freeze())
            .with_trailers(std::future::ready(Some(Ok(trailers))))
            .boxed(),
    )
}

fn decode(body: &Bytes) -> Option<HelloRequest> {
    let (prefix, message) = body.split_at_checked(PREFIX_BYTES)?;
    let (flag, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    if *flag != 0 || length != message.len() {
        return None;
    }
    HelloRequest::decode(message).ok()
}

/// A response of headers only carries the status in them ("Trailers-Only").
fn failure(code: Code, message: &'static str) -> Response<Body> {
    let mut response = grpc(Full::default().boxed());
    response
        .headers_mut()
        .insert("grpc-status", HeaderValue::from(code as u16));
    response
        .headers_mut()
        .insert("grpc-message", HeaderValue::from_static(message));
    response
}

fn grpc(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_message_is_refused() {
        assert!(decode(&Bytes::from_static(&[0, 0, 0, 0, 9, 1])).is_none());
        assert!(decode(&Bytes::from_static(&[0, 0])).is_none());
    }

    #[test]
    fn a_compressed_message_is_refused() {
        assert!(decode(&Bytes::from_static(&[1, 0, 0, 0, 0])).is_none());
    }

    #[test]
    fn a_name_is_read() {
        let request = decode(&Bytes::from_static(b"\0\0\0\0\x05\x0a\x03Ada"));
        assert_eq!(request, Some(HelloRequest { name: "Ada".into() }));
    }
}
