//! Telling when a function is ready, from inside its namespace.
//!
//! Attempts follow each other quickly: a guest where nothing listens yet answers with a reset within a round trip,
//! so most of the time lost is the pause between attempts, and that goes from 1 to 10 ms.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use sys::netns::NetNs;
use tokio::time::{sleep, timeout};
use vmm::agent::protocol::GUEST;

use crate::config::Probe;
use crate::network::connect;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// How long one attempt may take at first. A lost packet would be sent again only after a second (RFC 6298,
/// section 2.1), a new attempt is sooner; but each that ran out of time doubles this, for slow guests.
const FIRST_PATIENCE: Duration = Duration::from_millis(200);
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

/// Returns when the probe has succeeded.
pub(crate) async fn succeeds(namespace: &NetNs, probe: &Probe) {
    let (mut pause, mut patience) = (FIRST_PAUSE, FIRST_PATIENCE);
    loop {
        match timeout(patience, attempt(namespace, probe)).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(_) => patience = (patience * 2).min(LONGEST_PATIENCE),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt(namespace: &NetNs, probe: &Probe) -> bool {
    match probe {
        Probe::None => true,
        Probe::Tcp { port } => connect(namespace, *port).await.is_ok(),
        Probe::Http {
            port,
            path,
            headers,
        } => get(namespace, *port, path, headers)
            .await
            .is_ok_and(|status| (200..400).contains(&status)),
    }
}

/// The status of the answer to a GET.
async fn get(
    namespace: &NetNs,
    port: u16,
    path: &str,
    headers: &[(String, String)],
) -> io::Result<u16> {
    let mut request = Request::get(path);
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str()))
    {
        request = request.header(HOST, format!("{GUEST}:{port}"));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;

    let stream = connect(namespace, port).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // The connection makes progress only while it is polled, and is not needed after the answer's head.
    tokio::select! {
        answer = sender.send_request(request) => {
            answer.map(|answer| answer.status().as_u16()).map_err(io::Error::other)
        }
        result = connection => Err(match result {
            Ok(()) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) => io::Error::other(error),
        }),
    }
}
