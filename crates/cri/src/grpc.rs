//! gRPC over what carries it here: messages as bytes, of which those are decoded that somebody reads.

use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use http::Response;
use hyper::body::Incoming;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};
use tower::service_fn;

/// The body of a request or a response.
pub(crate) type Body = tonic::body::Body;

/// What kubelet and containerd take at most.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

/// Answers a call of one message with one message.
pub(crate) async fn unary<F>(
    request: http::Request<Incoming>,
    answer: impl Fn(Request<Bytes>) -> F,
) -> Response<Body>
where
    F: Future<Output = Result<Bytes, Status>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { answer.await.map(tonic::Response::new) }
    });
    server().unary(service, request).await
}

/// Answers a call of one message with many.
pub(crate) async fn streaming<F, S>(
    request: http::Request<Incoming>,
    answer: impl Fn(Request<Bytes>) -> F,
) -> Response<Body>
where
    F: Future<Output = Result<S, Status>>,
    S: Stream<Item = Result<Bytes, Status>> + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { answer.await.map(tonic::Response::new) }
    });
    server().server_streaming(service, request).await
}

fn server() -> tonic::server::Grpc<Raw> {
    tonic::server::Grpc::new(Raw)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(usize::MAX)
}
