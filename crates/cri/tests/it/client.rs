//! A client of the CRI, as a kubelet is one.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tower::Service;

use crate::runtime_v1 as cri;

/// A connection. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Client(SendRequest<Body>);

impl Client {
    pub(crate) async fn connect(socket: &Path) -> Self {
        Self::over(UnixStream::connect(socket).await.expect("a server")).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(4 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Calls a method of the runtime service.
    pub(crate) async fn call<Q, R>(&self, method: &str, request: Q) -> Result<R, Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        self.call_at(&format!("/runtime.v1.RuntimeService/{method}"), request)
            .await
    }

    /// Calls a method by its path.
    pub(crate) async fn call_at<Q, R>(&self, path: &str, request: Q) -> Result<R, Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(path).expect("a path");
        let mut grpc = tonic::client::Grpc::new(self.clone()).max_decoding_message_size(64 << 20);
        poll_fn(|context| self.0.clone().poll_ready(context))
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = grpc.unary(tonic::Request::new(request), path, Messages::<Q, R>::NEW);
        Ok(answer.await?.into_inner())
    }

    pub(crate) async fn containers(&self) -> Vec<cri::Container> {
        let list: cri::ListContainersResponse = self
            .call("ListContainers", cri::ListContainersRequest::default())
            .await
            .expect("a list");
        list.containers
    }

    pub(crate) async fn container_status(&self, id: &str) -> Result<cri::ContainerStatus, Status> {
        let request = cri::ContainerStatusRequest {
            container_id: id.into(),
            verbose: false,
        };
        let answer: cri::ContainerStatusResponse = self.call("ContainerStatus", request).await?;
        Ok(answer.status.expect("a status"))
    }
}

impl Service<http::Request<Body>> for Client {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().cloned();
        let uri = http::Uri::builder().scheme("http").authority("localhost");
        let uri = uri.path_and_query(path.expect("a path")).build();
        *request.uri_mut() = uri.expect("an address");
        Box::pin(self.0.send_request(request))
    }
}

struct Messages<Q, R>(std::marker::PhantomData<(Q, R)>);

impl<Q, R> Messages<Q, R> {
    const NEW: Self = Self(std::marker::PhantomData);
}

impl<Q, R> Codec for Messages<Q, R>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    type Encode = Q;
    type Decode = R;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::NEW
    }

    fn decoder(&mut self) -> Self {
        Self::NEW
    }
}

impl<Q: Message, R> Encoder for Messages<Q, R> {
    type Item = Q;
    type Error = Status;

    fn encode(&mut self, message: Q, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(&*message.encode_to_vec());
        Ok(())
    }
}

impl<Q, R: Message + Default> Decoder for Messages<Q, R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        let bytes = message.copy_to_bytes(message.remaining());
        R::decode(bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
