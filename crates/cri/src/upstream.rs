//! The connection to containerd: one, made when it is needed, and made again when containerd was restarted.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use prost::Message;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use tower::Service;
use tracing::debug;

use crate::connection;
use crate::grpc::{Body, MAX_MESSAGE, Raw};

/// It listens as soon as it starts.
const CONNECT: Duration = Duration::from_secs(5);

/// Why containerd was not asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot reach containerd at {}; is it running? (systemctl status containerd)", socket.display())]
    Connect {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("containerd at {} does not speak HTTP/2", socket.display())]
    Handshake {
        socket: PathBuf,
        #[source]
        source: hyper::Error,
    },
    #[error("the connection to containerd at {} broke; it may have been restarted", socket.display())]
    Broken {
        socket: PathBuf,
        #[source]
        source: hyper::Error,
    },
}

/// containerd. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Inner>);

struct Inner {
    socket: PathBuf,
    connection: Mutex<Option<SendRequest<Body>>>,
}

impl Upstream {
    pub(crate) fn new(socket: &Path) -> Self {
        Self(Arc::new(Inner {
            socket: socket.to_owned(),
            connection: Mutex::default(),
        }))
    }

    /// Passes a request on, with its body as it comes, and returns the response as it comes.
    pub(crate) async fn pass(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let mut sender = self.connection().await?;
        let sent = sender.send_request(connection::addressed(request)).await;
        sent.map_err(|source| Error::Broken {
            socket: self.0.socket.clone(),
            source,
        })
    }

    /// Calls a method of one message and one answer, neither of which is read here.
    pub(crate) async fn unary(
        &self,
        path: &'static str,
        request: tonic::Request<Bytes>,
    ) -> Result<Bytes, Status> {
        let path = PathAndQuery::from_static(path);
        let answer = self.client().unary(request, path, Raw).await?;
        Ok(answer.into_inner())
    }

    /// Calls a method whose answer is many messages.
    pub(crate) async fn streaming(
        &self,
        path: &'static str,
        request: tonic::Request<Bytes>,
    ) -> Result<Streaming<Bytes>, Status> {
        let path = PathAndQuery::from_static(path);
        let answer = self.client().server_streaming(request, path, Raw).await?;
        Ok(answer.into_inner())
    }

    /// Calls a method on behalf of vhive itself.
    pub(crate) async fn call<R: Message + Default>(
        &self,
        path: &'static str,
        request: &impl Message,
    ) -> Result<R, Status> {
        let request = tonic::Request::new(request.encode_to_vec().into());
        decode(path, &self.unary(path, request).await?)
    }

    fn client(&self) -> tonic::client::Grpc<Self> {
        tonic::client::Grpc::new(self.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    async fn connection(&self) -> Result<SendRequest<Body>, Error> {
        let mut connection = self.0.connection.lock().await;
        if let Some(sender) = &mut *connection
            && !sender.is_closed()
            && sender.ready().await.is_ok()
        {
            return Ok(sender.clone());
        }
        let sender = self.connect().await?;
        *connection = Some(sender.clone());
        Ok(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Error> {
        let socket = || self.0.socket.clone();
        let connected = timeout(CONNECT, UnixStream::connect(&self.0.socket)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| Error::Connect {
                socket: socket(),
                source,
            })?;
        let handshake = connection::handshake(stream).await;
        let (sender, connection) = handshake.map_err(|source| Error::Handshake {
            socket: socket(),
            source,
        })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "the connection to containerd ended");
            }
        });
        Ok(sender)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::unavailable(crate::chain(&error))
    }
}

/// Reads an answer of containerd's.
pub(crate) fn decode<R: Message + Default>(path: &str, answer: &[u8]) -> Result<R, Status> {
    R::decode(answer).map_err(|error| {
        Status::internal(format!(
            "containerd's answer to {path} makes no sense: {error}"
        ))
    })
}

/// For calls that are made through tonic.
impl Service<Request<Body>> for Upstream {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let upstream = self.clone();
        Box::pin(async move { Ok(upstream.pass(request).await?) })
    }
}
