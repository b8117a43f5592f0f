//! Calls over connections that are kept: HTTP/2 with many calls on each, HTTP/1.1 with one at a time.

mod connect;
mod http1;
mod http2;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{Failure, Start, timing};

/// Why a call failed, in the words of whoever failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) kind: Failure,
    pub(crate) message: String,
}

impl Failed {
    pub(crate) fn new(kind: Failure, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    fn io(error: &std::io::Error, connecting: bool) -> Self {
        Self::new(Failure::of_io(error, connecting), error.to_string())
    }
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) start: Start,
    /// The last word, if it is a number: by the functions' convention their own time in microseconds.
    pub(crate) last_word: Option<u32>,
}

/// What is sent, the same each time but for whom it is sent to.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: http::Method,
    pub(crate) path: http::uri::PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The connections to an address.
#[derive(Clone)]
pub(crate) enum Connections {
    Http1(Arc<http1::Pool>),
    Http2(Arc<http2::Pool>),
}

impl Connections {
    /// As many HTTP/2 connections as `count` are opened in any case; more when calls are slow.
    pub(crate) fn http2(address: SocketAddr, count: usize) -> Self {
        Self::Http2(Arc::new(http2::Pool::new(address, count)))
    }

    pub(crate) fn http1(address: SocketAddr, most: usize) -> Self {
        Self::Http1(Arc::new(http1::Pool::new(address, most)))
    }

    /// Opens what is opened in any case.
    pub(crate) async fn open(&self) {
        if let Self::Http2(pool) = self {
            pool.open().await;
        }
    }

    /// Calls, and waits until `timeout` after now for the whole answer.
    pub(crate) async fn call(
        &self,
        authority: &http::uri::Authority,
        request: Request,
        timeout: Duration,
        read: bool,
    ) -> Result<Answer, Failed> {
        let connected = AtomicBool::new(false);
        let call = async {
            match self {
                Self::Http1(pool) => pool.call(authority, request, &connected).await,
                Self::Http2(pool) => pool.call(authority, request, &connected).await,
            }
        };
        let response = match tokio::time::timeout(timeout, call).await {
            Ok(response) => response?,
            Err(_) if connected.load(Ordering::Relaxed) => {
                let message = format!("no answer within {} s", timeout.as_secs_f64());
                return Err(Failed::new(Failure::Timeout, message));
            }
            Err(_) => {
                let message = format!("no connection within {} s", timeout.as_secs_f64());
                return Err(Failed::new(Failure::ConnectTimeout, message));
            }
        };
        self.answer(&response, read)
    }

    fn answer(&self, response: &Response, read: bool) -> Result<Answer, Failed> {
        let start = timing::start(&response.headers);
        if matches!(self, Self::Http1(_)) {
            if !response.status.is_success() {
                return Err(unwanted(response));
            }
            let last_word = read
                .then(|| last_number(&String::from_utf8_lossy(&response.body)))
                .flatten();
            return Ok(Answer { start, last_word });
        }
        if response.status != StatusCode::OK {
            return Err(unwanted(response));
        }
        let trailers = response.trailers.as_ref();
        match crate::grpc::reply(&response.headers, trailers, &response.body) {
            Ok(reply) => Ok(Answer {
                start,
                last_word: read.then(|| last_number(&reply.message)).flatten(),
            }),
            Err(crate::grpc::Error::Status { code, message }) => {
                Err(Failed::new(Failure::Grpc(code), message))
            }
            Err(error) => Err(Failed::new(Failure::Protocol, error.to_string())),
        }
    }
}

/// A whole response.
struct Response {
    status: StatusCode,
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
    body: Bytes,
}

/// A status that is no success, with the beginning of what was said.
fn unwanted(response: &Response) -> Failed {
    const SHOWN: usize = 200;
    let said = String::from_utf8_lossy(&response.body);
    let said: String = said.trim().chars().take(SHOWN).collect();
    Failed::new(Failure::Http(response.status.as_u16()), said)
}

fn last_number(text: &str) -> Option<u32> {
    text.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_own_time_is_the_last_word() {
        assert_eq!(last_number("Hello, Ada! 317"), Some(317));
        assert_eq!(last_number("Hello, World!\n"), None);
        assert_eq!(last_number(""), None);
    }
}
