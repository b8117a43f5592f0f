//! A connection that breaks when the instance at its other end is gone.
//!
//! Nobody is left then to reset it: an instance's network goes with it, and what was sent was acknowledged, so that TCP
//! itself would wait for the answer for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The connection, and the end of the instance.
pub(crate) struct Severed {
    stream: TcpStream,
    /// `None` once it has come.
    ended: Option<BoxFuture<'static, ()>>,
}

impl Severed {
    pub(super) fn new(stream: TcpStream, ended: BoxFuture<'static, ()>) -> Self {
        Self {
            stream,
            ended: Some(ended),
        }
    }
}

impl AsyncRead for Severed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What came before the end is still passed on.
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            return Poll::Ready(read);
        }
        if let Some(ended) = &mut self.ended {
            if ended.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.ended = None;
        }
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::ConnectionReset,
            "the instance has ended",
        )))
    }
}

impl AsyncWrite for Severed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            // The system call for one is cheaper.
            [slice] => Pin::new(&mut self.stream).poll_write(cx, slice),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
