//! HTTP/2 with prior knowledge to an instance: one connection for many requests, and another when the
//! limit of streams, the instance's or the gateway's, is reached.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioTimer;
use tracing::debug;

use super::{Io, SendError};
use crate::alongside::{Alongside, Companions};
use crate::body::RequestBody;
use crate::config::Options;
use crate::doorbell::Doorbell;
use crate::endpoint::Connector;
use crate::window;

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
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` of the instance as last seen; 0 once no more requests are taken.
    limit: AtomicUsize,
    work: Mutex<Work>,
    bell: Doorbell,
}

/// What moves a connection: polled by its task, and by a request that has just been put on it, so that it is sent at once.
struct Work {
    /// Takes requests. `None` once there are no more.
    driver: Option<Driver>,
    /// The rest: frames in and out, heads of responses, bodies of requests.
    companions: Companions,
}

type Driver = http2::Connection<Io, RequestBody, Alongside>;

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
        let (companions, alongside) = Companions::new();
        let (sender, driver) = http2::Builder::new(alongside)
            .timer(TokioTimer::new())
            .initial_stream_window_size(window::STREAM)
            .initial_connection_window_size(window::CONNECTION)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        let streams = Arc::new(Streams {
            used: AtomicUsize::new(1),
            limit: AtomicUsize::new(driver.current_max_send_streams()),
            work: Mutex::new(Work {
                driver: Some(driver),
                companions,
            }),
            bell: Doorbell::default(),
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
        let limit = self.streams.limit.load(Ordering::Acquire);
        let limit = limit.min(window::STREAMS as usize);
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
    /// Ready once the connection has ended.
    fn poll(&self, work: &mut Work, cx: &mut Context<'_>) -> Poll<()> {
        let driver = work.driver.as_mut();
        if let Some(Poll::Ready(end)) = driver.map(|driver| Pin::new(driver).poll(cx)) {
            if let Err(error) = end {
                debug!(%error, "connection to instance ended");
            }
            work.driver = None;
        }
        let rest = work.companions.poll(cx);
        let limit = work.driver.as_ref().map(Driver::current_max_send_streams);
        self.limit.store(limit.unwrap_or(0), Ordering::Release);
        if work.driver.is_some() {
            Poll::Pending
        } else {
            rest
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drive(streams: Arc<Streams>) {
    poll_fn(|cx| {
        let mut work = streams.work();
        streams.bell.attend(cx, |cx| streams.poll(&mut work, cx))
    })
    .await;
}

impl Stream {
    /// Sends the request and waits for the head of the response.
    pub(crate) async fn send(
        mut self,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Slot), SendError> {
        let streams = &self.slot.0;
        let response = match streams.work.try_lock() {
            // Sent from here: waking the connection's task for it would take longer.
            Ok(mut work) => streams.bell.visit(
                || self.sender.try_send_request(request),
                |cx| streams.poll(&mut work, cx),
            ),
            // Whoever polls it now will see to it.
            Err(_) => self.sender.try_send_request(request),
        };
        let response = response.await?;
        Ok((response, self.slot))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::AcqRel);
    }
}
