//! The body of a response as it comes from an instance.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::WireError;

pub(crate) enum Received {
    Http1(Incoming),
    Http2(Inflow),
}

/// One stream's half of an HTTP/2 connection.
pub(crate) struct Inflow {
    stream: RecvStream,
    /// Whether only trailers can come.
    data_ended: bool,
    /// Bytes to come, if the head tells.
    left: Option<u64>,
}

impl Received {
    pub(super) fn over_http2(response: Response<RecvStream>) -> Response<Self> {
        let length = response.headers().get(CONTENT_LENGTH);
        let left = length.and_then(|it| it.to_str().ok()?.parse().ok());
        response.map(|stream| {
            Self::Http2(Inflow {
                stream,
                data_ended: false,
                left,
            })
        })
    }
}

impl Inflow {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever takes a part has room for another. It fails only if the stream has ended.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // The response is complete, and the rest of the request not wanted (RFC 9113, section 8.1).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|it| it.map(Frame::trailers)).transpose())
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        match &mut *self {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(WireError::from),
            Self::Http2(inflow) => inflow.poll_frame(cx).map_err(WireError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(inflow) => inflow.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(inflow) => match inflow.left {
                Some(left) => SizeHint::with_exact(left),
                None if inflow.stream.is_end_stream() => SizeHint::with_exact(0),
                None => SizeHint::default(),
            },
        }
    }
}
