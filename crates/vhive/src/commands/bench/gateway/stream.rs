//! One large response over one HTTP/2 stream: how fast it comes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::HOST;
use super::servers::bind;

/// Of one response.
const BYTES: usize = 256 << 20;
const PART: usize = 64 << 10;

/// Serves it to whoever asks, on a thread of its own, until this process ends.
pub(super) fn start() -> Result<SocketAddr> {
    let bound = bind()?;
    let address = bound.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("stream".to_owned())
        .spawn(move || runtime.block_on(serve(bound)))?;
    Ok(address)
}

async fn serve(bound: std::net::TcpListener) -> std::io::Result<()> {
    let listener = TcpListener::from_std(bound)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|_| async {
                let part = Bytes::from(vec![b'x'; PART]);
                let frame = move |_| Ok::<_, Infallible>(Frame::data(part.clone()));
                let parts = stream::iter((0..BYTES / PART).map(frame));
                Ok::<_, Infallible>(Response::new(StreamBody::new(parts)))
            });
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
    }
}

/// Takes it once; MiB a second.
pub(super) async fn take(address: SocketAddr) -> Result<f64> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(format!("http://{HOST}/")).body(Empty::<Bytes>::new())?;
    let start = Instant::now();
    let mut body = sender.send_request(request).await?.into_body();
    let mut taken = 0;
    while let Some(frame) = body.frame().await {
        taken += frame?.data_ref().map_or(0, Bytes::len);
    }
    if taken != BYTES {
        bail!("{taken} bytes came of {BYTES}");
    }
    Ok((BYTES >> 20) as f64 / start.elapsed().as_secs_f64())
}
