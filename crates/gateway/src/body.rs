//! Bodies on their way through: nothing is kept but the frame in hand.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::expect::Gate;
use crate::refusal::grpc_timeout_trailers;
use crate::revision::Permit;
use crate::session::Busy;
use crate::stall;
use crate::tasks::AbortOnDrop;
use crate::upstream::{Received, Timer, WireError, http1, http2};

/// From the client to the instance.
pub(crate) struct RequestBody {
    incoming: Incoming,
    /// Set at the end; `None` if the body was empty to begin with.
    ended: Option<Arc<AtomicBool>>,
    gate: Option<Gate>,
}

/// Tells whether a request body has been passed on to its end.
pub(crate) struct Progress(Option<Arc<AtomicBool>>);

impl Progress {
    pub(crate) fn is_complete(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|ended| ended.load(Ordering::Acquire))
    }
}

impl RequestBody {
    /// With a gate nothing is read from the client before it opens.
    pub(crate) fn new(incoming: Incoming, gate: Option<Gate>) -> (Self, Progress) {
        let ended = (!incoming.is_end_stream()).then(Arc::<AtomicBool>::default);
        let body = Self {
            incoming,
            ended: ended.clone(),
            gate,
        };
        (body, Progress(ended))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.poll_open(cx));
            self.gate = None;
        }
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if let Some(ended) = &self.ended
            && (frame.is_none() || self.incoming.is_end_stream())
        {
            ended.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// From the instance (or the gateway itself) to the client.
pub(crate) struct ResponseBody(Kind);

enum Kind {
    Done,
    Text(Bytes),
    Stream(Stream),
}

/// What carries the response body here.
pub(crate) enum Carrier {
    /// Polled together with the body; goes back to the pool at its end if it may be used again.
    Http1 {
        connection: Box<http1::Connection>,
        reusable: bool,
    },
    /// HTTP/1.1 driven by a task of its own, because the request body is still on its way: each direction
    /// must go on while the other stands. Ends with the response.
    Detached { _driver: AbortOnDrop },
    /// A stream of a shared connection.
    Http2 { slot: http2::Slot },
}

/// Limits on the rest of a response.
#[derive(Clone, Copy)]
pub(crate) struct Deadlines {
    /// End of the whole response; `None` is never.
    pub(crate) total: Option<Instant>,
    /// Longest silence; zero is any.
    pub(crate) idle: Duration,
}

impl Deadlines {
    /// When to give up if nothing comes.
    pub(crate) fn next(&self) -> Option<Instant> {
        let idle = (!self.idle.is_zero()).then(|| Instant::now() + self.idle);
        [self.total, idle].into_iter().flatten().min()
    }
}

pub(crate) struct Stream {
    pub(crate) body: Received,
    pub(crate) carrier: Carrier,
    pub(crate) timer: Timer,
    pub(crate) deadlines: Deadlines,
    pub(crate) grpc: bool,
    /// Held until the body has ended.
    pub(crate) permit: Permit,
    pub(crate) _busy: Busy,
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self(Kind::Done)
    }

    pub(crate) fn text(text: Bytes) -> Self {
        Self(Kind::Text(text))
    }

    pub(crate) fn stream(stream: Stream) -> Self {
        if stream.body.is_end_stream() {
            stream.complete();
            Self(Kind::Done)
        } else {
            stall::handed_over(stream.deadlines.total);
            Self(Kind::Stream(stream))
        }
    }

    fn finish(&mut self) {
        if let Kind::Stream(stream) = std::mem::replace(&mut self.0, Kind::Done) {
            stream.complete();
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // The answer to HEAD is never polled.
        if matches!(self.0, Kind::Stream(_)) {
            stall::asked();
        }
    }
}

impl Stream {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        match (&mut self.carrier, &mut self.body) {
            (Carrier::Http1 { connection, .. }, Received::Http1(body)) => {
                connection.poll_frame(body, cx).map_err(WireError::from)
            }
            (_, body) => Pin::new(body).poll_frame(cx),
        }
    }

    /// The connection first, the permit second: who gets the permit next finds the connection.
    fn complete(self) {
        let now = Instant::now();
        match self.carrier {
            Carrier::Http1 {
                mut connection,
                reusable: true,
            } => {
                connection.timer = self.timer;
                self.permit.backend().http1.put(connection, now);
            }
            Carrier::Http2 { slot } => slot.keep(self.timer),
            Carrier::Http1 { .. } | Carrier::Detached { .. } => {}
        }
        self.permit.give_back(now);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let stream = match &mut self.0 {
            Kind::Done => return Poll::Ready(None),
            Kind::Text(text) => {
                let text = std::mem::take(text);
                self.0 = Kind::Done;
                return Poll::Ready(Some(Ok(Frame::data(text))));
            }
            Kind::Stream(stream) => stream,
        };
        stall::asked();
        if stream.timer.poll(cx).is_ready() {
            // The head is out, so the status cannot change any more: the body ends cleanly, and a gRPC
            // client reads the reason in the trailers.
            let grpc = stream.grpc;
            self.0 = Kind::Done;
            return Poll::Ready(grpc.then(|| Ok(Frame::trailers(grpc_timeout_trailers()))));
        }
        match ready!(stream.poll_body(cx)) {
            Some(Ok(frame)) => {
                if stream.body.is_end_stream() {
                    self.finish();
                } else {
                    if !stream.deadlines.idle.is_zero() {
                        stream.timer.set(stream.deadlines.next());
                    }
                    stall::handed_over(stream.deadlines.total);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.0 = Kind::Done;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Done => true,
            Kind::Text(text) => text.is_empty(),
            Kind::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Done => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Stream(stream) => stream.body.size_hint(),
        }
    }
}
