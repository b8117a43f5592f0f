//! Connections to instances.
//!
//! [`http1`]: one request at a time per connection, kept alive, driven by the task of the request itself.
//! [`http2`]: many requests on one connection, which has a task of its own.

pub(crate) mod http1;
pub(crate) mod http2;
mod pipe;
mod received;
mod severed;
mod timer;

use std::io;
use std::time::Duration;

pub(crate) use self::received::Received;
use self::severed::Severed;
pub(crate) use self::timer::Timer;
use crate::body::RequestBody;
use crate::endpoint::Connector;

/// What went wrong between here and an instance, once a request was on its way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the exchange over HTTP/1.1 failed")]
    Http1(#[from] hyper::Error),
    #[error("the exchange over HTTP/2 failed")]
    Http2(#[from] h2::Error),
}

/// A request that did not get an answer.
pub(crate) enum SendError {
    /// Nothing of it was sent: it can be tried again as it is.
    Unsent(Box<http::Request<RequestBody>>, WireError),
    /// It may have reached the instance.
    Sent(WireError),
}

impl From<hyper::client::conn::TrySendError<http::Request<RequestBody>>> for SendError {
    fn from(mut error: hyper::client::conn::TrySendError<http::Request<RequestBody>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request), error.into_error().into()),
            None => Self::Sent(error.into_error().into()),
        }
    }
}

async fn connect(connector: &dyn Connector, timeout: Duration) -> io::Result<Severed> {
    let stream = tokio::time::timeout(timeout, connector.connect())
        .await
        .map_err(|_elapsed| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {timeout:?}"),
            )
        })??;
    stream.set_nodelay(true)?;
    Ok(Severed::new(stream, connector.ended()))
}
