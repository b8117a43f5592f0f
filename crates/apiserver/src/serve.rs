//! The listener: TLS where it is wanted, HTTP/1.1 and HTTP/2 on one port, and an end that waits for requests, but not
//! for ever.
//!
//! ```text
//!   accept ─► handshake ─► requests ─► closed
//!                              │ shutdown: no new requests, watches end, the rest may finish
//!                              ▼
//!                          draining ─► closed, or cut off at the deadline
//! ```

use std::{
    convert::Infallible,
    io,
    time::{Duration, Instant},
};

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

use crate::{
    auth::{Authenticator, User},
    http::{Attributes, Record, authorize, error::unauthorized, is_health_path},
    metrics::Metrics,
};

/// A client that says nothing for so long is not one.
const HANDSHAKE: Duration = Duration::from_secs(10);
const REQUEST_HEAD: Duration = Duration::from_secs(30);
/// Dead peers of idle watches are found by pings.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(20);
/// Rest after an accept that failed for want of something, file descriptors for one.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What is served, and to whom.
#[derive(Clone)]
pub struct Server {
    /// What answers.
    pub router: Router,
    /// Tells users from strangers, who may only ask for the server's health, and has the TLS for it. Without, there is no TLS and
    /// everything is open: only for a listener that nobody else can reach.
    pub authenticator: Option<Authenticator>,
    /// Where requests are counted.
    pub metrics: Metrics,
}

/// Serves until `shutdown`, then lets requests finish for `drain` and cuts off the rest.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    shutdown: CancellationToken,
    drain: Duration,
) {
    let acceptor = server
        .authenticator
        .as_ref()
        .map(|it| TlsAcceptor::from(it.tls()));
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
            server.clone(),
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
    server: Server,
    watcher: Watcher,
) {
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return requests(stream, server, Some(User::owner()), watcher).await;
    };
    match time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            let authenticator = server.authenticator.as_ref();
            let holder = authenticator.and_then(|it| it.of_certificates(shown.unwrap_or_default()));
            requests(stream, server, holder, watcher).await;
        }
        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
        Err(_) => debug!("TLS handshake timed out"),
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: Server,
    holder: Option<User>,
    watcher: Watcher,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (server, holder) = (server.clone(), holder.clone());
        async move { Ok::<_, Infallible>(answer(server, holder, request.map(Body::new)).await) }
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

/// Answers a request over a connection whose other end has shown a certificate, or has not.
async fn answer(server: Server, holder: Option<User>, request: Request<Body>) -> Response<Body> {
    let began = Instant::now();
    let what = Attributes::of(request.method(), request.uri());
    let response = admitted(&server, holder, &what, request).await;
    server
        .metrics
        .count(&what, response.status(), began.elapsed());
    response
}

async fn admitted(
    server: &Server,
    holder: Option<User>,
    what: &Attributes,
    mut request: Request<Body>,
) -> Response<Body> {
    if !is_health_path(&what.path) {
        let token = || server.authenticator.as_ref()?.of_token(request.headers());
        let Some(user) = holder.or_else(token) else {
            return unauthorized().into_response();
        };
        let allowed = authorize(&user, what);
        request.extensions_mut().insert(user);
        let record = Record::of(&request);
        let response = match allowed {
            Ok(()) => routed(server, request).await,
            Err(refusal) => refusal.into_response(),
        };
        if let Some(record) = record {
            record.write(&response);
        }
        return response;
    }
    routed(server, request).await
}

async fn routed(server: &Server, request: Request<Body>) -> Response<Body> {
    match server.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
