//! HTTP/1.1 to an instance.
//!
//! A connection has no task: whoever has it out of the pool polls it, from the request's own task. That
//! saves two wake-ups across tasks per request. What nobody polls notices nothing, so a connection is polled
//! when it is taken out, which shows whether the instance closed it meanwhile.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{SendError, Timer};
use crate::body::RequestBody;
use crate::config::Options;
use crate::doorbell::Doorbell;
use crate::endpoint::Connector;

/// The idle connections of one endpoint.
pub(crate) struct Pool {
    idle: Mutex<Idle>,
    capacity: usize,
    age: Duration,
    connect_timeout: Duration,
}

struct Idle {
    open: bool,
    /// Back: used last, taken first.
    connections: VecDeque<(Instant, Box<Connection>)>,
}

impl Pool {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            idle: Mutex::new(Idle {
                open: true,
                connections: VecDeque::new(),
            }),
            capacity: options.idle_connections,
            age: options.idle_connection_age,
            connect_timeout: options.connect_timeout,
        }
    }

    /// Closed, a pool keeps nothing.
    pub(crate) fn set_open(&self, open: bool) {
        let mut idle = self.idle();
        idle.open = open;
        if !open {
            idle.connections.clear();
        }
    }

    /// An idle connection that is still alive.
    pub(crate) async fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (_, mut connection) = self.idle().connections.pop_back()?;
            if poll_fn(|cx| Poll::Ready(connection.poll_usable(cx))).await {
                return Some(connection);
            }
        }
    }

    pub(crate) async fn open(&self, connector: &dyn Connector) -> io::Result<Box<Connection>> {
        let io = super::connect(connector, self.connect_timeout).await?;
        let (sender, driver) = http1::Builder::new()
            .writev(false)
            .handshake(TokioIo::new(io))
            .await
            .map_err(io::Error::other)?;
        Ok(Box::new(Connection {
            sender,
            driver: Some(Box::pin(driver.with_upgrades())),
            bell: Doorbell::default(),
            timer: Timer::default(),
        }))
    }

    /// Takes back a connection whose exchange is complete.
    pub(crate) fn put(&self, connection: Box<Connection>, now: Instant) {
        let mut idle = self.idle();
        if idle.open && connection.driver.is_some() {
            idle.connections.push_back((now, connection));
        }
        let surplus = idle.connections.len() > self.capacity;
        let stale = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) > self.age;
        if surplus || idle.connections.front().is_some_and(stale) {
            idle.connections.pop_front();
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What moves the bytes of a connection. (Hyper's own type for it has no public name.)
pub(crate) type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// One connection; nothing happens on it unless it is polled.
pub(crate) struct Connection {
    sender: SendRequest<RequestBody>,
    /// `None` once it has ended.
    driver: Option<Driver>,
    bell: Doorbell,
    pub(crate) timer: Timer,
}

impl Connection {
    /// Sends a request and waits for the head of the response. The timer is for the caller to poll.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let (driver, bell) = (&mut self.driver, &self.bell);
        let mut response = pin!(bell.hush(|| self.sender.try_send_request(request)));
        poll_fn(|cx| {
            bell.attend(cx, |cx| {
                drive(driver, cx);
                response.as_mut().poll(cx)
            })
        })
        .await
        .map_err(SendError::from)
    }

    /// The next part of a body that comes on this connection.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let driver = &mut self.driver;
        self.bell.attend(cx, |cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            drive(driver, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
    }

    /// What moves the bytes, for somebody else to poll; the connection does not go back to the pool.
    pub(crate) fn into_driver(self) -> Option<Driver> {
        self.driver
    }

    fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        let (driver, sender) = (&mut self.driver, &mut self.sender);
        let usable = self.bell.attend(cx, |cx| {
            drive(driver, cx);
            let ready = matches!(sender.poll_ready(cx), Poll::Ready(Ok(())));
            Poll::Ready(driver.is_some() && ready)
        });
        usable == Poll::Ready(true)
    }
}

fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(running) = driver {
        // What went wrong reaches the request or the body that waits for it.
        if running.as_mut().poll(cx).is_ready() {
            *driver = None;
        }
    }
}
