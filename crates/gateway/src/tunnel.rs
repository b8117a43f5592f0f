//! After `101 Switching Protocols`: bytes in both directions until both have ended.
//!
//! `timeoutSeconds` ends no tunnel. Upstream's does, some time after the change of protocol, which its users take for a fault
//! (knative/serving#16169); `idleTimeoutSeconds` is what is for connections that nobody uses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{join, try_join};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::Instant;
use tracing::debug;

use crate::revision::Permit;
use crate::session::Busy;
use crate::upstream::Timer;
use crate::upstream::http1::Driver;

/// Carries the upgraded connection. `driver` is what remains of the instance's HTTP/1.1 connection: it hands
/// the bytes over once it is polled. The permit is held to the end: an open WebSocket is a request in
/// flight. So is the mark that its connection is in use, which in HTTP/2 goes on for other requests. It is given up
/// when the instance sends nothing for as long as `idle`; zero is no limit.
pub(crate) async fn run(
    client: OnUpgrade,
    instance: OnUpgrade,
    driver: Option<Driver>,
    idle: Duration,
    permit: Permit,
    _busy: Busy,
) {
    let hand_over = async {
        if let Some(driver) = driver {
            let _ = driver.await;
        }
    };
    let (upgraded, ()) = join(try_join(client, instance), hand_over).await;
    match upgraded {
        Ok((client, instance)) => {
            let mut client = TokioIo::new(client);
            let mut instance = Bounded::new(TokioIo::new(instance), idle);
            if let Err(error) = copy_bidirectional(&mut client, &mut instance).await {
                debug!(%error, endpoint = permit.backend().id(), "tunnel broke off");
            }
        }
        Err(error) => debug!(%error, endpoint = permit.backend().id(), "upgrade did not happen"),
    }
}

/// The instance's end, where a silence that is too long is an error.
struct Bounded<S> {
    stream: S,
    idle: Duration,
    silence: Timer,
}

impl<S> Bounded<S> {
    fn new(stream: S, idle: Duration) -> Self {
        let mut bounded = Self {
            stream,
            idle,
            silence: Timer::default(),
        };
        bounded.heard();
        bounded
    }

    fn heard(&mut self) {
        let limit = (!self.idle.is_zero()).then(|| Instant::now() + self.idle);
        self.silence.set(limit);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.heard();
            return Poll::Ready(read);
        }
        self.silence.poll(cx).map(|()| {
            let limit = format!("the instance sent nothing for {:?}", self.idle);
            Err(io::Error::new(io::ErrorKind::TimedOut, limit))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
