//! What stands for a function's instance: a server on loopback, and the connector to it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use gateway::{Connector, Endpoint};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).boxed_unsync())
}

/// Ends with its owner, connections included.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    /// Connections accepted so far.
    pub(crate) connections: Arc<AtomicUsize>,
    tasks: Vec<AbortHandle>,
}

impl Instance {
    /// Speaks HTTP/1.1 and h2c.
    pub(crate) async fn http<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::http_with(|_| {}, handler).await
    }

    /// As [`Self::http`], with a server set up by `configure`.
    pub(crate) async fn http_with<F, R>(
        configure: impl FnOnce(&mut auto::Builder<TokioExecutor>),
        handler: F,
    ) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        configure(&mut builder);
        Self::raw(move |stream| {
            let (builder, handler) = (builder.clone(), handler.clone());
            async move {
                let service = service_fn(move |request| {
                    let response = handler(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                let _ = builder
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await
    }

    /// Speaks whatever `handler` does with a connection.
    pub(crate) async fn raw<F, R>(handler: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        let accepting = tokio::spawn(async move {
            let mut running = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                running.spawn(handler(stream));
            }
        });
        Self {
            address,
            connections,
            tasks: vec![accepting.abort_handle()],
        }
    }

    /// Answers every request with `answer`.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::http(move |_| async move { text(answer) }).await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn endpoint(&self, id: &str) -> Endpoint {
        endpoint(id, self.address)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub(crate) fn endpoint(id: &str, address: SocketAddr) -> Endpoint {
    Endpoint {
        id: id.to_owned(),
        connector: Arc::new(Dial(address)),
        phases: vec![
            ("network".to_owned(), Duration::from_micros(100)),
            ("boot".to_owned(), Duration::from_micros(200)),
        ],
    }
}

struct Dial(SocketAddr);

impl Connector for Dial {
    fn connect(&self) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(self.0))
    }
}
