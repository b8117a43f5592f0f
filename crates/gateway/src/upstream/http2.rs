//! HTTP/2 with prior knowledge to an instance: one connection for many requests, and another when the
//! instance's limit of streams is reached.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tracing::debug;

use super::{Io, SendError};
use crate::body::RequestBody;
use crate::config::Options;
use crate::endpoint::Connector;

/// What may be under way to the gateway on one stream and on one connection, in bytes: enough for a fast
/// stream on a fast link, and the bound of what a slow client makes the gateway hold.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The connections of one endpoint.
pub(crate) struct Pool {
    state: Mutex<State>,
    /// Held while a connection is made, so that a burst makes one.
    connecting: tokio::sync::Mutex<()>,
    connect_timeout: Duration,
}

struct State {
    open: bool,
    connections: Vec<Connection>,
}

#[derive(Clone)]
struct Connection {
    sender: SendRequest<RequestBody>,
    streams: Arc<Streams>,
}

struct Streams {
    used: AtomicUsize,
    /// Polled by the connection's task; everybody else asks it for `SETTINGS_MAX_CONCURRENT_STREAMS` of
    /// the instance, which may change at any time without waking that task. `None` once it has ended.
    driver: Mutex<Option<Driver>>,
}

type Driver = http2::Connection<Io, RequestBody, TokioExecutor>;

/// One stream of a connection; dropping it makes room for another.
pub(crate) struct Stream {
    sender: SendRequest<RequestBody>,
    /// Held for its drop.
    slot: Slot,
}

/// Room taken on a connection.
pub(crate) struct Slot(Arc<Streams>);

impl Pool {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::new(State {
                open: true,
                connections: Vec::new(),
            }),
            connecting: tokio::sync::Mutex::new(()),
            connect_timeout: options.connect_timeout,
        }
    }

    /// Closed, a pool keeps no connection: those in use end with their last stream.
    pub(crate) fn set_open(&self, open: bool) {
        let mut state = self.state();
        state.open = open;
        if !open {
            state.connections.clear();
        }
    }

    /// Room on a connection that is there.
    pub(crate) fn take(&self) -> Option<Stream> {
        let mut state = self.state();
        state
            .connections
            .retain(|connection| !connection.sender.is_closed());
        state.connections.iter().find_map(Connection::reserve)
    }

    /// Room on a connection, which is made if need be.
    pub(crate) async fn open(&self, connector: &dyn Connector) -> io::Result<Stream> {
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(stream) = self.take() {
            return Ok(stream);
        }
        let io = super::connect(connector, self.connect_timeout).await?;
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        let streams = Arc::new(Streams {
            used: AtomicUsize::new(1),
            driver: Mutex::new(Some(driver)),
        });
        tokio::spawn(drive(streams.clone()));
        let connection = Connection { sender, streams };
        let stream = connection.stream();
        let mut state = self.state();
        if state.open {
            state.connections.push(connection);
        }
        Ok(stream)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn reserve(&self) -> Option<Stream> {
        let limit = self.streams.limit();
        let room = |used| (used < limit).then_some(used + 1);
        self.streams
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, room)
            .ok()?;
        Some(self.stream())
    }

    /// A stream for which room is already taken.
    fn stream(&self) -> Stream {
        Stream {
            sender: self.sender.clone(),
            slot: Slot(self.streams.clone()),
        }
    }
}

impl Streams {
    fn limit(&self) -> usize {
        let driver = self.driver();
        driver.as_ref().map_or(0, Driver::current_max_send_streams)
    }

    fn driver(&self) -> MutexGuard<'_, Option<Driver>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drive(streams: Arc<Streams>) {
    let end = poll_fn(|cx| {
        let mut slot = streams.driver();
        let Some(driver) = &mut *slot else {
            return Poll::Ready(Ok(()));
        };
        let progress = Pin::new(driver).poll(cx);
        if progress.is_ready() {
            *slot = None;
        }
        progress
    });
    if let Err(error) = end.await {
        debug!(%error, "connection to instance ended");
    }
}

impl Stream {
    /// Sends the request and waits for the head of the response.
    pub(crate) async fn send(
        mut self,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Slot), SendError> {
        let response = self.sender.try_send_request(request).await?;
        Ok((response, self.slot))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::AcqRel);
    }
}
