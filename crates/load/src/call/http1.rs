//! HTTP/1.1: a connection for each call at once, kept for the next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

use super::{Failed, Request, Response, connect};
use crate::Failure;

type Sender = SendRequest<Full<Bytes>>;

pub(crate) struct Pool {
    address: SocketAddr,
    /// The one that was used last is used next, so that those that are too many grow old.
    idle: Mutex<Vec<Sender>>,
    /// For connections that may be there at once.
    room: Semaphore,
}

impl Pool {
    pub(super) fn new(address: SocketAddr, most: usize) -> Self {
        Self {
            address,
            idle: Mutex::default(),
            room: Semaphore::new(most.max(1)),
        }
    }

    fn idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn open(&self) -> Result<Sender, Failed> {
        let stream = connect::connect(self.address).await?;
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| failed(&error))?;
        let address = self.address;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "a connection ended");
            }
        });
        Ok(sender)
    }

    pub(super) async fn call(
        &self,
        authority: &Authority,
        request: Request,
        connected: &AtomicBool,
    ) -> Result<Response, Failed> {
        // It is never closed.
        let _room = self.room.acquire().await.ok();
        let kept = self.idle();
        let was_kept = kept.is_some();
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.open().await?,
        };
        connected.store(true, Ordering::Relaxed);
        let sent = sender.send_request(head(authority, &request)).await;
        let response = match sent {
            // Closed by the server while nothing was on it, and noticed only now: nothing was sent.
            Err(error) if was_kept && error.is_canceled() => {
                sender = self.open().await?;
                sender.send_request(head(authority, &request)).await
            }
            sent => sent,
        };
        let (parts, body) = response.map_err(|error| failed(&error))?.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?;
        let trailers = body.trailers().cloned();
        let body = body.to_bytes();
        // The connection's own task has to see the end of the body before it takes another request.
        if sender.ready().await.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(sender);
        }
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            trailers,
            body,
        })
    }
}

fn head(authority: &Authority, request: &Request) -> http::Request<Full<Bytes>> {
    let mut head = http::Request::new(Full::new(request.body.clone()));
    *head.method_mut() = request.method.clone();
    *head.uri_mut() = request.path.clone().into();
    *head.headers_mut() = request.headers.clone();
    // An authority has nothing in it that a field may not have.
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        head.headers_mut().insert(header::HOST, host);
    }
    head
}

fn failed(error: &hyper::Error) -> Failed {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return Failed::io(io, false);
        }
        source = cause.source();
    }
    let kind = if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Failure::Closed
    } else {
        Failure::Protocol
    };
    Failed::new(kind, error.to_string())
}
