//! A gateway on loopback with one route, and clients of it.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use gateway::{
    DemandReceiver, Endpoint, Gateway, HostRoute, Options, RevisionConfig, RevisionKey, Stats,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const HOST: &str = "hello.default.example.com";

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn key() -> RevisionKey {
    RevisionKey::new("default", "hello-00001")
}

pub(crate) struct Rig {
    pub(crate) gateway: Gateway,
    pub(crate) demand: DemandReceiver,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

impl Rig {
    /// With [`HOST`] routed to [`key`].
    pub(crate) async fn start(config: RevisionConfig, endpoints: Vec<Endpoint>) -> Self {
        Self::start_with(Options::default(), config, endpoints).await
    }

    pub(crate) async fn start_with(
        options: Options,
        config: RevisionConfig,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let (gateway, demand) = Gateway::new(options);
        gateway.set_routes(&[HostRoute {
            host: HOST.to_owned(),
            targets: vec![(key(), 100)],
        }]);
        gateway.upsert_revision(&key(), config);
        gateway.set_endpoints(&key(), endpoints);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn({
            let (gateway, shutdown) = (gateway.clone(), shutdown.clone());
            async move { gateway.serve(listener, shutdown).await }
        });
        Self {
            gateway,
            demand,
            address,
            shutdown,
            served,
        }
    }

    pub(crate) async fn http1(&self) -> Http1 {
        let (sender, connection) = http1::handshake(self.io().await).await.unwrap();
        let task = tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Http1 { sender, task }
    }

    pub(crate) async fn http2(&self) -> http2::SendRequest<Body> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), self.io().await)
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// As [`Self::http2`]; each stream takes so many bytes before it is read.
    pub(crate) async fn http2_with_window(&self, bytes: u32) -> http2::SendRequest<Body> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(bytes);
        let (sender, connection) = builder.handshake(self.io().await).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        // Delayed acknowledgements take real time, which does not pass while the clock stands still.
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// One request on a connection of its own.
    pub(crate) async fn get(&self) -> Answer {
        self.http1().await.ask(get()).await
    }

    /// As [`Self::get`], in the background.
    pub(crate) async fn spawn_get(&self) -> JoinHandle<Answer> {
        let mut client = self.http1().await;
        tokio::spawn(async move { client.ask(get()).await })
    }

    /// Waits until the counters are as `expected` says.
    pub(crate) async fn until(&self, expected: impl Fn(&Stats) -> bool) {
        until(|| expected(&self.gateway.stats(&key()))).await;
    }

    async fn io(&self) -> TokioIo<TcpStream> {
        TokioIo::new(self.tcp().await)
    }
}

/// Yields until the condition holds; a test that waits in vain is ended by its runner.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// A client connection; dropping it closes it, whatever is under way.
pub(crate) struct Http1 {
    pub(crate) sender: http1::SendRequest<Body>,
    task: JoinHandle<()>,
}

impl Http1 {
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Answer {
        Answer::of(self.send(request).await).await
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Self {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(collected.to_bytes().to_vec()).unwrap(),
            trailers,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn empty() -> Body {
    Empty::new().boxed_unsync()
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

pub(crate) fn get() -> Request<Body> {
    Request::get("/")
        .header("host", HOST)
        .body(empty())
        .unwrap()
}

pub(crate) fn post(body: Body) -> Request<Body> {
    Request::post("/").header("host", HOST).body(body).unwrap()
}

/// For HTTP/2, where the host is in the target.
pub(crate) fn to_host(method: &str, body: Body) -> Request<Body> {
    let target = format!("http://{HOST}/");
    Request::builder()
        .method(method)
        .uri(target)
        .body(body)
        .unwrap()
}
