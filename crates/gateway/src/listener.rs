//! Where clients come in: HTTP/1.1 and h2c on one port.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::gateway::Shared;
use crate::headers::Client;
use crate::proxy::Session;

/// What may be under way from the client on one stream and on one connection, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_STREAMS: u32 = 1000;
const MAX_HEADER_LIST: u32 = 64 << 10;
/// A client that does not finish the head of its request is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Out of file descriptors there is nothing to do but to wait for some connection to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then stops accepting, lets requests and tunnels under way finish, and returns.
pub(crate) async fn serve(
    gateway: Arc<Shared>,
    listener: TcpListener,
    shutdown: CancellationToken,
) {
    let builder = builder();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let session = Session {
                    gateway: gateway.clone(),
                    client: Client::new(address.ip()),
                    shutdown: shutdown.child_token(),
                    tunnels: connections.clone(),
                };
                connections.spawn(connection(builder.clone(), stream, Arc::new(session)));
            }
            Err(error) => {
                if !is_of_one_connection(&error) {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST);
    builder
}

async fn connection(
    builder: auto::Builder<TokioExecutor>,
    stream: TcpStream,
    session: Arc<Session>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "connection lost before it began");
        return;
    }
    let shutdown = session.shutdown.clone();
    let service = service_fn(move |request| {
        let session = session.clone();
        async move { Ok::<_, Infallible>(session.handle(request).await) }
    });
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection broke off");
    }
}

/// Errors of `accept` that say that a client is gone, not that accepting does not work.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
