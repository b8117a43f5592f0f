//! The client's end of a connection: what the HTTP server does not do between itself and the socket.
//!
//! *Interim responses.* The server sends only those that it makes itself. Others (RFC 9110, section 15.2) go past it, to
//! where its next message will begin, which is known only while everything it had to send has been flushed.
//!
//! *The end.* A socket that is closed while something unread is in it resets the connection, and the reset may destroy an answer
//! that the client has not read yet. So what still comes is read for a while after the last byte was sent (RFC 9112, section 9.6).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a client that goes on sending is listened to after its last answer.
const LINGER: Duration = Duration::from_secs(2);
/// Most that is kept for a client of interim responses, in bytes.
const INTERIM_ROOM: usize = 8 << 10;

/// What the requests of a connection know of it.
pub(crate) struct Line {
    /// Whether all that the server had to send is sent.
    flushed: AtomicBool,
    /// Whether there are interim responses to send.
    waiting: AtomicBool,
    interim: Mutex<BytesMut>,
    /// Whether what comes belongs to somebody else now.
    tunnel: AtomicBool,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            flushed: AtomicBool::new(true),
            waiting: AtomicBool::new(false),
            interim: Mutex::default(),
            tunnel: AtomicBool::new(false),
        }
    }

    /// Sends an interim response, for the request that has begun and has no answer yet, to a client that speaks HTTP/1.1. It is
    /// dropped if the client has yet to take what the server sent before, or more interim responses than there is room for: an
    /// instance may send them without end, and nothing else holds it back.
    pub(crate) fn interim(&self, status: StatusCode, headers: &HeaderMap) {
        if !self.flushed.load(Ordering::Acquire) {
            return;
        }
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_str(),
            status.canonical_reason().unwrap_or_default()
        )
        .into_bytes();
        for (name, value) in headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let mut heads = self.heads();
        if heads.len() + head.len() > INTERIM_ROOM {
            return;
        }
        heads.extend_from_slice(&head);
        self.waiting.store(true, Ordering::Release);
    }

    /// From now on the connection is not the server's.
    pub(crate) fn becomes_tunnel(&self) {
        self.tunnel.store(true, Ordering::Release);
    }

    fn heads(&self) -> MutexGuard<'_, BytesMut> {
        self.interim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket, plain or under TLS.
pub(crate) struct Downstream<S> {
    stream: S,
    line: Arc<Line>,
    /// Set once everything is sent.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Downstream<S> {
    pub(crate) fn new(stream: S, line: Arc<Line>) -> Self {
        Self {
            stream,
            line,
            lingering: None,
        }
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.line.waiting.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let mut heads = self.line.heads();
        while !heads.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &heads))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            heads.advance(written);
        }
        self.line.waiting.store(false, Ordering::Release);
        Poll::Ready(Ok(()))
    }

    /// Reads and forgets, until the client has ended or its time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = self
            .lingering
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut room = [0; 4096];
        while end.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Downstream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Downstream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        self.line.flushed.store(false, Ordering::Release);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        self.line.flushed.store(false, Ordering::Release);
        match slices {
            // The system call for one is cheaper.
            [slice] => Pin::new(&mut self.stream).poll_write(cx, slice),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The server flushes when it has nothing left to write, and not before.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.line.flushed.store(true, Ordering::Release);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.poll_interim(cx))?;
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.line.tunnel.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn interim_responses_that_the_client_does_not_take_are_dropped_whole() {
        let line = Arc::new(Line::new());
        let (mut client, server) = tokio::io::duplex(100);
        let mut downstream = Downstream::new(server, line.clone());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10_000 {
            line.interim(StatusCode::EARLY_HINTS, &HeaderMap::new());
            let _ = Pin::new(&mut downstream).poll_flush(&mut cx);
        }
        assert!(line.heads().len() <= INTERIM_ROOM);
        let flushed = async move {
            std::future::poll_fn(|cx| Pin::new(&mut downstream).poll_flush(cx)).await
        };
        let mut taken = String::new();
        let (flushed, read) = tokio::join!(flushed, client.read_to_string(&mut taken));
        flushed.and(read).unwrap();
        let head = "HTTP/1.1 103 Early Hints\r\n\r\n";
        assert_eq!(taken.replace(head, ""), "");
        assert!(taken.len() > INTERIM_ROOM);
    }
}
