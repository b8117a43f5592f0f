//! One client connection of each kind.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::HOST;
use crate::client::ingress::{Connection, Protocol, Target};

const CALL: Duration = Duration::from_secs(10);
/// A masked text frame of 125 bytes (RFC 6455, section 5.2), the most that fits a one-byte length.
const FRAME: [u8; 131] = {
    let mut frame = [b'x'; 131];
    frame[0] = 0x81;
    // Masked, and 125 bytes long.
    frame[1] = 0xfd;
    frame
};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Http1,
    /// Prior knowledge on both sides.
    Http2,
    Grpc,
    /// A message and its echo.
    WebSocket,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2 (h2c)",
            Self::Grpc => "gRPC",
            Self::WebSocket => "WebSocket echo",
        })
    }
}

pub(super) enum Caller {
    Function(Connection),
    Http2(http2::SendRequest<Empty<Bytes>>),
    WebSocket(TcpStream),
}

impl Caller {
    pub(super) async fn open(kind: Kind, address: SocketAddr) -> Result<Self> {
        let target = Target {
            address,
            authority: HOST.to_owned(),
        };
        Ok(match kind {
            Kind::Http1 => Self::Function(Connection::open(&target, Protocol::Http).await?),
            Kind::Grpc => Self::Function(Connection::open(&target, Protocol::Grpc).await?),
            Kind::Http2 => {
                let io = TokioIo::new(connect(address).await?);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Self::Http2(sender)
            }
            Kind::WebSocket => Self::WebSocket(upgraded(address).await?),
        })
    }

    /// From the first byte sent to the last received.
    pub(super) async fn call(&mut self) -> Result<Duration> {
        timeout(CALL, self.exchange())
            .await
            .with_context(|| format!("no answer within {CALL:?}"))?
    }

    async fn exchange(&mut self) -> Result<Duration> {
        match self {
            Self::Function(connection) => {
                Ok(connection.call("/", "bench", false, CALL).await?.elapsed)
            }
            Self::Http2(sender) => {
                let request = Request::get(format!("http://{HOST}/")).body(Empty::new())?;
                let start = Instant::now();
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                let status = response.status();
                response.into_body().collect().await?;
                if status != StatusCode::OK {
                    bail!("HTTP {status}");
                }
                Ok(start.elapsed())
            }
            Self::WebSocket(stream) => {
                let mut echo = [0; FRAME.len()];
                let start = Instant::now();
                stream.write_all(&FRAME).await?;
                stream.read_exact(&mut echo).await?;
                Ok(start.elapsed())
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection after its opening handshake.
async fn upgraded(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = connect(address).await?;
    let request = format!(
        "GET /echo HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    if !head.starts_with("HTTP/1.1 101 ") {
        bail!("no change of protocol: {head}");
    }
    Ok(stream)
}
