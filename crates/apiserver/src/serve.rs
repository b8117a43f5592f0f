//! The listener: TLS where it is wanted, HTTP/1.1 and HTTP/2 on one port, and an end that waits for requests, but not
//! for ever.
//!
//! ```text
//!   accept ─► handshake ─► requests ─► closed
//!                              │ shutdown: no new requests, watches end, the rest may finish
//!                              ▼
//!                          draining ─► closed, or cut off at the deadline
//! ```

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::IntoResponse};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::http::{error::unauthorized, is_health_path};

/// A client that says nothing for so long is not one.
const HANDSHAKE: Duration = Duration::from_secs(10);
const REQUEST_HEAD: Duration = Duration::from_secs(30);
/// Dead peers of idle watches are found by pings.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(20);
/// Rest after an accept that failed for want of something, file descriptors for one.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown`, then lets requests finish for `drain` and cuts off the rest.
///
/// With `tls`, a client without a certificate may only ask for its health. Without, everything is open: only for a
/// listener that nobody else can reach.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // Reaps what is done.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if !is_of_one_connection(&error) {
                        warn!(%error, "cannot accept");
                        time::sleep(ACCEPT_REST).await;
                    }
                    continue;
                }
            },
        };
        connections.spawn(connection(
            stream,
            acceptor.clone(),
            router.clone(),
            graceful.watcher(),
        ));
    }
    drop(listener);
    if time::timeout(drain, graceful.shutdown()).await.is_err() {
        warn!(connections = connections.len(), "cut off at the deadline");
    }
    connections.shutdown().await;
}

/// Whether an error of accept says nothing about the listener (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) {
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return requests(stream, router, true, watcher).await;
    };
    match time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let known = stream.get_ref().1.peer_certificates().is_some();
            requests(stream, router, known, watcher).await;
        }
        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
        Err(_) => debug!("TLS handshake timed out"),
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    known: bool,
    watcher: Watcher,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(answer(router, known, request.map(Body::new)).await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER);
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        debug!(%error, "connection failed");
    }
}

async fn answer(router: Router, known: bool, request: Request<Body>) -> Response<Body> {
    if !known && !is_health_path(request.uri().path()) {
        return unauthorized().into_response();
    }
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
