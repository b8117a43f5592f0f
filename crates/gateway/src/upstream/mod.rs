//! Connections to instances.
//!
//! [`http1`]: one request at a time per connection, kept alive, driven by the task of the request itself.
//! [`http2`]: many requests on one connection, which has a task of its own.

pub(crate) mod http1;
pub(crate) mod http2;
mod severed;
mod timer;

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;

use self::severed::Severed;
pub(crate) use self::timer::Timer;
use crate::endpoint::Connector;

type Io = TokioIo<Severed>;

/// A request that did not get an answer.
pub(crate) enum SendError {
    /// Nothing of it was sent: it can be tried again as it is.
    Unsent(Box<http::Request<crate::body::RequestBody>>, hyper::Error),
    /// It may have reached the instance.
    Sent(hyper::Error),
}

impl From<hyper::client::conn::TrySendError<http::Request<crate::body::RequestBody>>>
    for SendError
{
    fn from(
        mut error: hyper::client::conn::TrySendError<http::Request<crate::body::RequestBody>>,
    ) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request), error.into_error()),
            None => Self::Sent(error.into_error()),
        }
    }
}

async fn connect(connector: &dyn Connector, timeout: Duration) -> io::Result<Io> {
    let stream = tokio::time::timeout(timeout, connector.connect())
        .await
        .map_err(|_elapsed| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {timeout:?}"),
            )
        })??;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(Severed::new(stream, connector.ended())))
}
