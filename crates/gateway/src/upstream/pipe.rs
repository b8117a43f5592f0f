//! The body of a request on its way to an instance, over HTTP/2.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use tokio::sync::oneshot;
use tracing::debug;

use crate::body::RequestBody;

/// Passes a body on, part by part: the next is taken from the client only when there is room for it on the way to the instance
/// (RFC 9113, section 5.2). Ends with the body, or when the instance wants no more of it.
pub(super) struct Pipe {
    body: RequestBody,
    stream: SendStream<Bytes>,
    /// Waits for room; with whether it is the last.
    held: Option<(Bytes, bool)>,
    /// Whether nothing of it was sent: the first part goes out with the head, before there can be room for it to wait for.
    first: bool,
    guarded: Option<oneshot::Receiver<()>>,
}

/// While this is held the body is sent; if it is dropped the stream is reset.
pub(super) struct Guard(oneshot::Sender<()>);

impl Guard {
    /// The body goes on by itself.
    pub(super) fn release(self) {
        let _ = self.0.send(());
    }
}

impl Pipe {
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        Self {
            body,
            stream,
            held: None,
            first: true,
            guarded: None,
        }
    }

    pub(super) fn guard(&mut self) -> Guard {
        let (guard, guarded) = oneshot::channel();
        self.guarded = Some(guarded);
        Guard(guard)
    }

    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(guarded) = &mut self.guarded else {
            return false;
        };
        match Pin::new(guarded).poll(cx) {
            Poll::Pending => false,
            Poll::Ready(Err(_dropped)) => true,
            Poll::Ready(Ok(())) => {
                self.guarded = None;
                false
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if self.stream.poll_reset(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.held.is_some() && !std::mem::take(&mut self.first) {
                while self.stream.capacity() == 0 {
                    match ready!(self.stream.poll_capacity(cx)) {
                        Some(room) => room?,
                        // Closed meanwhile.
                        None => return Poll::Ready(Ok(())),
                    };
                }
            }
            if let Some((data, last)) = self.held.take() {
                self.stream.send_data(data, last)?;
                if last {
                    return Poll::Ready(Ok(()));
                }
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(self.stream.send_data(Bytes::new(), true));
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    debug!(%error, "the body of a request broke off");
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Ok(()));
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    if !data.is_empty() {
                        // No more is asked for than what shows that there is room, so that no stream holds what others need.
                        self.stream.reserve_capacity(1);
                        self.held = Some((data, self.body.is_end_stream()));
                    } else if self.body.is_end_stream() {
                        return Poll::Ready(self.stream.send_data(data, true));
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.stream.reserve_capacity(0);
                        return Poll::Ready(self.stream.send_trailers(trailers));
                    }
                }
            }
        }
    }
}

impl Future for Pipe {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_abandoned(cx) {
            self.stream.send_reset(Reason::CANCEL);
            return Poll::Ready(());
        }
        if let Err(error) = ready!(self.poll_send(cx)) {
            // Whoever waits for the response is told as well.
            debug!(%error, "the body of a request cannot be sent");
        }
        Poll::Ready(())
    }
}
