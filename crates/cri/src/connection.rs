//! HTTP/2 to a server that is reached by a stream: containerd at its socket, or a function in its guest.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::{PathAndQuery, Uri};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

use crate::grpc::Body;

/// Lists of many containers are a megabyte and more: they are not to wait for the window to open.
const WINDOW: u32 = 4 << 20;
/// A status carries its message in a header, and containerd puts whole outputs of hooks there.
const HEADERS: u32 = 1 << 20;

/// What moves the bytes of a connection until it ends.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Begins to speak HTTP/2 over a stream. The second is to be polled for as long as the first is used.
pub(crate) async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> hyper::Result<(SendRequest<Body>, Driver)> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_header_list_size(HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    Ok((sender, Box::pin(connection)))
}

/// A request for a server that has no name: a scheme and a host have to be there.
pub(crate) fn addressed(request: Request<Body>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme("http")
        .authority("localhost")
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build();
    parts.uri = uri.unwrap_or_default();
    Request::from_parts(parts, body)
}

/// For calls that are made through tonic, over this connection alone.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) SendRequest<Body>);

impl Service<Request<Body>> for Caller {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(addressed(request)))
    }
}
