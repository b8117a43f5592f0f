//! What the endpoint adds to a call that it passes on: `ListContainers`, over a connection that stands, straight to containerd and
//! through the endpoint, in turns. Both sockets have to be there, and as many containers as are to be listed.
//!
//! `cargo run --release -p cri --example list_hop -- CONTAINERD_SOCKET CRI_SOCKET [CALLS]`

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

/// The kubelet's own HTTP/2 takes windows of this size at first (grpc-go).
const WINDOW: u32 = 64 << 10;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what| {
        arguments
            .next()
            .with_context(|| format!("{what} is missing"))
    };
    let sockets = [next("containerd's socket")?, next("the endpoint's socket")?];
    let calls: usize = next("").map_or(Ok(2000), |calls| calls.parse())?;
    let mut senders = Vec::new();
    for socket in &sockets {
        senders.push(connect(socket).await?);
    }
    let mut times = [Vec::new(), Vec::new()];
    let mut sizes = [0, 0];
    // What is slow at first is slow for neither.
    for round in 0..calls + calls / 10 {
        for (which, sender) in senders.iter_mut().enumerate() {
            let begun = Instant::now();
            sizes[which] = list(sender).await?;
            if round >= calls / 10 {
                times[which].push(begun.elapsed());
            }
        }
    }
    for (which, name) in ["containerd", "endpoint"].into_iter().enumerate() {
        let times = &mut times[which];
        times.sort_unstable();
        println!(
            "{name}: {} calls of {} bytes, median {:?}, 90 % {:?}, 99 % {:?}, mean {:?}",
            times.len(),
            sizes[which],
            times[times.len() / 2],
            times[times.len() * 9 / 10],
            times[times.len() * 99 / 100],
            times.iter().sum::<Duration>() / times.len() as u32,
        );
    }
    let median = |times: &[Duration]| times[times.len() / 2].as_secs_f64();
    println!(
        "ratio of the medians: {:.2}",
        median(&times[1]) / median(&times[0])
    );
    Ok(())
}

async fn connect(socket: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = UnixStream::connect(socket).await;
    let stream = stream.with_context(|| format!("nobody listens at {socket}"))?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .adaptive_window(true)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Lists all containers; returns how many bytes that are.
async fn list(sender: &mut SendRequest<Full<Bytes>>) -> Result<usize> {
    // A message without fields, after its prefix.
    let body = Full::new(Bytes::from_static(&[0; 5]));
    let request = http::Request::post("http://localhost/runtime.v1.RuntimeService/ListContainers")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?;
    sender.ready().await?;
    let answer = sender
        .send_request(request)
        .await?
        .into_body()
        .collect()
        .await?;
    let status = answer
        .trailers()
        .and_then(|it| it.get("grpc-status").cloned());
    if status.as_ref().is_none_or(|it| it != "0") {
        bail!("the call failed: {status:?}");
    }
    Ok(answer.to_bytes().len())
}
