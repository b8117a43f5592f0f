//! Where clients come in: HTTP/1.1 and HTTP/2 on one port, plain or under TLS.
//!
//! The listener watches over its connections from one place, once in a while, so that a request sets no timer
//! of its own: a connection on which nothing happens is drained, and cut if that does not end it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::alongside::{Alongside, Companions};
use crate::doorbell::Doorbell;
use crate::downstream::Downstream;
use crate::forwarded::Client;
use crate::gateway::Shared;
use crate::session::{Session, Verdict};
use crate::stall::Watch;
use crate::window;

const MAX_HEADER_LIST: u32 = 64 << 10;
/// How often the listener looks at its connections.
const ROUND: Duration = Duration::from_secs(20);
/// Rounds without a request under way or begun after which a connection is drained, and after which it is
/// cut. A client that has asked something is let go after 60 to 80 s of silence; one that has not finished
/// the head of its first request is cut off after 80 to 100 s.
const QUIET_ROUNDS: u32 = 3;
const CUT_ROUNDS: u32 = 5;
/// Out of file descriptors there is nothing to do but to wait for some connection to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then stops accepting, lets requests and tunnels under way finish, and returns.
pub(crate) async fn serve(
    gateway: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let mut watched = Vec::new();
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = rounds.tick() => {
                watched.retain_mut(Watched::look);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let client = Client::new(address.ip(), tls.is_some());
                let session = Arc::new(Session::new(gateway.clone(), client, tasks.clone()));
                watched.push(Watched::new(&session));
                tasks.spawn(connection(stream, tls.clone(), session));
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
    for session in watched
        .iter()
        .filter_map(|watched| watched.session.upgrade())
    {
        session.drain();
    }
    tasks.close();
    loop {
        tokio::select! {
            () = tasks.wait() => break,
            _ = rounds.tick() => watched.retain_mut(Watched::look),
        }
    }
}

/// A connection, and how long nothing has happened on it.
struct Watched {
    session: Weak<Session>,
    requests: u64,
    quiet: u32,
}

impl Watched {
    fn new(session: &Arc<Session>) -> Self {
        Self {
            session: Arc::downgrade(session),
            requests: 0,
            quiet: 0,
        }
    }

    /// Once a round; `false` if the connection is gone.
    fn look(&mut self) -> bool {
        let Some(session) = self.session.upgrade() else {
            return false;
        };
        let requests = session.requests();
        if session.is_busy() || requests != self.requests {
            self.requests = requests;
            self.quiet = 0;
        } else {
            self.quiet += 1;
        }
        match self.quiet {
            CUT_ROUNDS.. => session.cut(),
            QUIET_ROUNDS.. => session.drain(),
            _ => {}
        }
        true
    }
}

fn builder(alongside: Alongside) -> auto::Builder<Alongside> {
    let mut builder = auto::Builder::new(alongside);
    builder
        .http1()
        // Off: it would be a timer for each request. The listener's rounds do the same.
        .header_read_timeout(None)
        // One plain write of head and body together is cheaper than a vectored one, also with the copy.
        .writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(window::STREAM)
        .initial_connection_window_size(window::CONNECTION)
        .max_concurrent_streams(window::STREAMS)
        .enable_connect_protocol()
        .max_header_list_size(MAX_HEADER_LIST);
    builder
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, session: Arc<Session>) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "connection lost before it began");
        return;
    }
    let Some(acceptor) = tls else {
        return speak(stream, session).await;
    };
    let mut handshake = pin!(acceptor.accept(stream));
    let secured = poll_fn(|cx| {
        session.watch(cx.waker());
        match session.verdict() {
            Verdict::Serve => handshake.as_mut().poll(cx).map(Some),
            // Nothing was asked yet.
            Verdict::Drain | Verdict::Cut => Poll::Ready(None),
        }
    });
    match secured.await {
        Some(Ok(stream)) => speak(stream, session).await,
        Some(Err(error)) => debug!(%error, "TLS handshake failed"),
        None => {}
    }
}

async fn speak<S>(stream: S, session: Arc<Session>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let session = session.clone();
        async move { Ok::<_, Infallible>(session.handle(request).await) }
    });
    let io = TokioIo::new(Downstream::new(stream, session.line.clone()));
    let (mut streams, alongside) = Companions::new();
    let bell = Doorbell::default();
    let builder = builder(alongside);
    let mut serving = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut watch = Watch::default();
    let mut draining = false;
    let ended = poll_fn(|cx| {
        session.watch(cx.waker());
        match session.verdict() {
            Verdict::Serve => {}
            Verdict::Drain if draining => {}
            Verdict::Drain => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
            Verdict::Cut => return Poll::Ready(Ok(())),
        }
        bell.attend(cx, |cx| {
            // Given up (HTTP/1.1) the connection is closed: there is no other way to end a response that is not read.
            let ended = watch
                .poll(cx, |cx| serving.as_mut().poll(cx))
                .map(|ended| ended.unwrap_or(Ok(())));
            if ended.is_pending() {
                let _ = streams.poll(cx);
            }
            ended
        })
    });
    if let Err(error) = ended.await {
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
