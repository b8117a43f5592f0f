//! HTTP/2 with prior knowledge: few connections, with many calls at once on each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use h2::client::SendRequest;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::{Failed, Request, Response, connect};
use crate::Failure;

/// So many calls wait on a connection, at most, before another is opened, if its server takes as many.
const STREAMS: usize = 100;
/// The most connections to an address.
const CONNECTIONS: usize = 64;
/// What a server may send before it is told to go on: answers are small, and many.
const WINDOW: u32 = 1 << 20;

type Opening = Shared<BoxFuture<'static, Result<SendRequest<Bytes>, Failed>>>;

/// A connection that is open, or on its way.
struct Slot {
    opening: Opening,
    /// Calls on it.
    calls: AtomicUsize,
    ended: Ended,
}

/// Set when a connection takes no more calls, with the cause if it broke.
type Ended = Arc<OnceLock<Option<Failed>>>;

impl Slot {
    fn open(address: SocketAddr) -> Arc<Self> {
        let ended = Ended::default();
        Arc::new(Self {
            opening: open(address, Arc::clone(&ended)).boxed().shared(),
            calls: AtomicUsize::new(0),
            ended,
        })
    }

    /// Whether another call would wait for one that is there to end.
    fn is_full(&self) -> bool {
        let limit = match self.opening.peek() {
            Some(Ok(sender)) => sender.current_max_send_streams().min(STREAMS),
            _ => STREAMS,
        };
        self.calls.load(Ordering::Relaxed) >= limit
    }
}

async fn open(address: SocketAddr, ended: Ended) -> Result<SendRequest<Bytes>, Failed> {
    let end = Arc::clone(&ended);
    let opened = async {
        let stream = connect::connect(address).await?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|error| failed(&error))?;
        tokio::spawn(async move {
            let broken = connection.await.err();
            if let Some(error) = &broken {
                tracing::debug!(%address, %error, "a connection ended");
            }
            // Whoever said so first is right.
            let _ = end.set(broken.as_ref().map(failed));
        });
        Ok(sender)
    };
    let opened: Result<_, Failed> = opened.await;
    if let Err(failed) = &opened {
        let _ = ended.set(Some(failed.clone()));
    }
    opened
}

/// Counts a call for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(calls: &'a AtomicUsize) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) struct Pool {
    address: SocketAddr,
    /// Opened in any case.
    count: usize,
    slots: Mutex<Vec<Arc<Slot>>>,
}

impl Pool {
    pub(super) fn new(address: SocketAddr, count: usize) -> Self {
        Self {
            address,
            count: count.clamp(1, CONNECTIONS),
            slots: Mutex::default(),
        }
    }

    pub(super) async fn open(&self) {
        while self.lock().len() < self.count {
            let slot = Slot::open(self.address);
            // What fails is for the calls to tell.
            if slot.opening.clone().await.is_err() {
                return;
            }
            self.lock().push(slot);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection with the fewest calls, or a new one if that has its fill.
    fn slot(&self) -> Arc<Slot> {
        let mut slots = self.lock();
        slots.retain(|slot| slot.ended.get().is_none());
        let least = slots
            .iter()
            .min_by_key(|slot| slot.calls.load(Ordering::Relaxed));
        if let Some(slot) = least
            && (slots.len() >= CONNECTIONS || (slots.len() >= self.count && !slot.is_full()))
        {
            return Arc::clone(slot);
        }
        let slot = Slot::open(self.address);
        slots.push(Arc::clone(&slot));
        slot
    }

    pub(super) async fn call(
        &self,
        authority: &Authority,
        request: Request,
        connected: &AtomicBool,
    ) -> Result<Response, Failed> {
        let slot = self.slot();
        let _counted = Counted::new(&slot.calls);
        let sender = match slot.opening.peek() {
            Some(opened) => opened.clone(),
            None => slot.opening.clone().await,
        };
        connected.store(true, Ordering::Relaxed);
        let failed = match exchange(sender?, authority, request).await {
            Ok(response) => return Ok(response),
            Err(error) if error.is_reset() => return Err(failed(&error)),
            Err(error) => failed(&error),
        };
        // It is the connection that has failed. Its calls are told that it is closed, and only its own task why.
        let _ = slot.ended.set(None);
        match slot.ended.get() {
            Some(Some(cause)) if failed.kind == Failure::Closed => Err(cause.clone()),
            _ => Err(failed),
        }
    }
}

async fn exchange(
    sender: SendRequest<Bytes>,
    authority: &Authority,
    request: Request,
) -> Result<Response, h2::Error> {
    let mut sender = sender.ready().await?;
    let (head, body) = head(authority, request);
    let empty = body.is_empty();
    let (response, mut stream) = sender.send_request(head, empty)?;
    if !empty {
        stream.send_data(body, true)?;
    }
    let (parts, mut body) = response.await?.into_parts();
    let mut received = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if received.is_empty() {
            received = chunk;
        } else {
            let mut joined = BytesMut::from(received);
            joined.extend_from_slice(&chunk);
            received = joined.freeze();
        }
    }
    let trailers = body.trailers().await?;
    Ok(Response {
        status: parts.status,
        headers: parts.headers,
        trailers,
        body: received,
    })
}

fn head(authority: &Authority, request: Request) -> (http::Request<()>, Bytes) {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority.clone());
    uri.path_and_query = Some::<PathAndQuery>(request.path);
    let mut head = http::Request::new(());
    *head.method_mut() = request.method;
    // All three parts are there, so it is one.
    *head.uri_mut() = http::Uri::from_parts(uri).unwrap_or_default();
    *head.headers_mut() = request.headers;
    (head, request.body)
}

fn failed(error: &h2::Error) -> Failed {
    if let Some(error) = error.get_io() {
        return Failed::io(error, false);
    }
    let kind = if error.is_reset() {
        Failure::Reset
    } else if error.is_go_away()
        && error.is_remote()
        && error.reason() == Some(h2::Reason::NO_ERROR)
    {
        Failure::Closed
    } else {
        Failure::Protocol
    };
    Failed::new(kind, error.to_string())
}
