//! HTTP/2 with prior knowledge to an instance: one connection for many requests, and another when the
//! limit of streams, the instance's or the gateway's, is reached.
//!
//! The protocol itself is the `h2` crate's, without an HTTP client around it: that would send the head of a request by itself
//! and its body in a second packet, for which the instance wakes twice, and hand each response through one more task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use hyper::rt::Executor;
use tracing::debug;

use super::pipe::{Guard, Pipe};
use super::{Received, SendError, Severed, Timer, WireError};
use crate::alongside::{Alongside, Companions};
use crate::body::RequestBody;
use crate::config::Options;
use crate::doorbell::Doorbell;
use crate::endpoint::Connector;
use crate::window;

/// Streams that are begun before the instance has told its limit (RFC 9113, section 6.5.2, recommends no less for a limit).
const STREAMS_AT_FIRST: usize = 100;
/// Longest head of a response, in bytes as RFC 9113, section 6.5.2, counts them.
const MAX_HEADER_LIST: u32 = 64 << 10;
/// Timers kept for later streams of a connection.
const TIMERS_KEPT: usize = 64;

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
    sender: SendRequest<Bytes>,
    streams: Arc<Streams>,
}

struct Streams {
    used: AtomicUsize,
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` of the instance as last seen.
    limit: AtomicUsize,
    /// Whether no more requests are taken.
    ended: AtomicBool,
    work: Mutex<Work>,
    /// Set by a request that is put on the connection while others are on it: more may come before all of them are sent.
    gathering: AtomicBool,
    bell: Doorbell,
    /// Takes request bodies that are not there as a whole.
    bodies: Alongside,
    /// Left by streams that have ended: registered once, they are cheap to set again.
    timers: Mutex<Vec<Timer>>,
}

/// What moves a connection: polled by its task, and by a request that has just been put on it, so that it is sent at once.
struct Work {
    /// `None` once it has ended.
    driver: Option<Driver>,
    /// Bodies of requests on their way.
    companions: Companions,
}

type Driver = client::Connection<Severed, Bytes>;

/// One stream of a connection; dropping it makes room for another.
pub(crate) struct Stream {
    sender: SendRequest<Bytes>,
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
            .retain(|connection| !connection.streams.ended.load(Ordering::Acquire));
        state.connections.iter().find_map(Connection::reserve)
    }

    /// Room on a connection, which is made if need be.
    pub(crate) async fn open(&self, connector: &dyn Connector) -> io::Result<Stream> {
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(stream) = self.take() {
            return Ok(stream);
        }
        let io = super::connect(connector, self.connect_timeout).await?;
        let (sender, driver) = client::Builder::new()
            .initial_window_size(window::STREAM)
            .initial_connection_window_size(window::CONNECTION)
            .initial_max_send_streams(STREAMS_AT_FIRST)
            .max_header_list_size(MAX_HEADER_LIST)
            .enable_push(false)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        let (companions, bodies) = Companions::new();
        let streams = Arc::new(Streams {
            used: AtomicUsize::new(1),
            limit: AtomicUsize::new(driver.max_concurrent_send_streams()),
            ended: AtomicBool::new(false),
            work: Mutex::new(Work {
                driver: Some(driver),
                companions,
            }),
            gathering: AtomicBool::new(false),
            bell: Doorbell::default(),
            bodies,
            timers: Mutex::default(),
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
        // Bodies first: what they add goes out with the rest.
        let _ = work.companions.poll(cx);
        let Some(driver) = &mut work.driver else {
            return Poll::Ready(());
        };
        let ended = Pin::new(&mut *driver).poll(cx);
        let limit = driver.max_concurrent_send_streams();
        self.limit.store(limit, Ordering::Release);
        if let Poll::Ready(end) = ended {
            if let Err(error) = end {
                debug!(%error, "connection to instance ended");
            }
            self.ended.store(true, Ordering::Release);
            work.driver = None;
            // What they wait for will not come, and they are told.
            let _ = work.companions.poll(cx);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timers(&self) -> MutexGuard<'_, Vec<Timer>> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request on the connection and has it sent.
    fn put(
        &self,
        sender: SendRequest<Bytes>,
        request: Request<RequestBody>,
    ) -> Result<Begun, SendError> {
        if self.used.load(Ordering::Acquire) == 1
            && let Ok(mut work) = self.work.try_lock()
        {
            // Sent from here: waking the connection's task for it would take longer.
            return self.bell.visit(
                || self.begin(sender, request),
                |cx| self.poll(&mut work, cx),
            );
        }
        self.gathering.store(true, Ordering::Release);
        self.begin(sender, request)
    }

    /// Puts a request on the connection, with as much of its body as is there.
    fn begin(
        &self,
        mut sender: SendRequest<Bytes>,
        request: Request<RequestBody>,
    ) -> Result<Begun, SendError> {
        let cx = &mut Context::from_waker(self.bell.waker());
        if let Poll::Ready(Err(error)) = sender.poll_ready(cx) {
            self.ended.store(true, Ordering::Release);
            return Err(SendError::Unsent(Box::new(request), error.into()));
        }
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let sent = sender.send_request(head, body.is_end_stream());
        let (response, stream) = sent.map_err(WireError::from).map_err(SendError::Sent)?;
        if body.is_end_stream() {
            return Ok(Begun {
                response,
                body: None,
            });
        }
        let mut pipe = Pipe::new(body, stream);
        let body = Pin::new(&mut pipe).poll(cx).is_pending().then(|| {
            let guard = pipe.guard();
            self.bodies.execute(pipe);
            self.bell.waker().wake_by_ref();
            guard
        });
        Ok(Begun { response, body })
    }
}

/// A request that waits for the head of its response.
struct Begun {
    response: ResponseFuture,
    /// The rest of its body is not sent if nobody waits any more.
    body: Option<Guard>,
}

async fn drive(streams: Arc<Streams>) {
    poll_fn(|cx| {
        if streams.gathering.swap(false, Ordering::AcqRel) {
            // Last in the queue of this thread's tasks: what they have to send goes out together, and wakes the instance once.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut work = streams.work();
        streams.bell.attend(cx, |cx| streams.poll(&mut work, cx))
    })
    .await;
}

impl Stream {
    /// A timer to use while the stream is open; [`Slot::keep`] takes it back.
    pub(crate) fn timer(&self) -> Timer {
        self.slot.0.timers().pop().unwrap_or_default()
    }

    /// Sends the request and waits for the head of the response. `interim` gets the interim ones before it.
    pub(crate) async fn send(
        self,
        request: Request<RequestBody>,
        interim: Option<impl Fn(StatusCode, &HeaderMap)>,
    ) -> Result<(Response<Received>, Slot), SendError> {
        let Self { sender, slot } = self;
        let Begun {
            mut response,
            mut body,
        } = slot.0.put(sender, request)?;
        let head = poll_fn(|cx| {
            if let Some(interim) = &interim {
                while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
                    interim(head.status(), head.headers());
                }
            }
            Pin::new(&mut response).poll(cx)
        });
        let head = head.await.map_err(WireError::from);
        if let Some(body) = body.take() {
            body.release();
        }
        let response = head.map_err(SendError::Sent)?;
        Ok((Received::over_http2(response), slot))
    }
}

impl Slot {
    /// Takes the timer back for a later stream.
    pub(crate) fn keep(&self, timer: Timer) {
        let mut timers = self.0.timers();
        if timers.len() < TIMERS_KEPT {
            timers.push(timer);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::AcqRel);
    }
}
