//! Servers that behave, and servers that do not.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use load::grpc::HelloReply;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

type Body = BoxBody<Bytes, Infallible>;

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Greets, with 317 as its own time.
    Greets,
    /// Greets once so many requests have come, and from then on.
    WaitsFor(usize),
    /// Greets after a pause.
    Pauses(Duration),
    /// Never answers.
    Silent,
    /// gRPC status 14 in a response of headers alone.
    Unavailable,
    /// HTTP 503.
    Overloaded,
    /// Greets by HTTP alone, and closes the connection afterwards.
    Closes,
    /// Says that the first so many requests waited for an instance.
    Cold(usize),
}

/// What a server has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    now: AtomicUsize,
    /// Requests at once, at most.
    pub(crate) most: AtomicUsize,
    /// The headers of every request.
    pub(crate) headers: Mutex<Vec<HeaderMap>>,
    /// Method, path and body of every request.
    pub(crate) lines: Mutex<Vec<String>>,
}

/// A server that speaks HTTP/1.1 and HTTP/2.
pub(crate) async fn serve(manner: Manner) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen = Arc::new(Seen::default());
    let (arrived, _) = watch::channel(0);
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            shared.connections.fetch_add(1, Ordering::SeqCst);
            let (seen, arrived) = (Arc::clone(&shared), arrived.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    answer(manner, request, Arc::clone(&seen), arrived.clone())
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    (address, seen)
}

async fn answer(
    manner: Manner,
    request: Request<Incoming>,
    seen: Arc<Seen>,
    arrived: watch::Sender<usize>,
) -> Result<Response<Body>, Infallible> {
    let nth = seen.requests.fetch_add(1, Ordering::SeqCst);
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    let is_grpc = request
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind == "application/grpc");
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    let body = body.unwrap_or_default();
    let line = format!(
        "{} {} {}",
        parts.method,
        parts.uri.path(),
        String::from_utf8_lossy(&body)
    );
    seen.lines.lock().expect("a lock").push(line);
    seen.headers.lock().expect("a lock").push(parts.headers);
    arrived.send_modify(|count| *count += 1);
    match manner {
        Manner::WaitsFor(count) => {
            let mut arrived = arrived.subscribe();
            let _ = arrived.wait_for(|arrived| *arrived >= count).await;
        }
        Manner::Pauses(pause) => tokio::time::sleep(pause).await,
        Manner::Silent => std::future::pending().await,
        _ => {}
    }
    seen.now.fetch_sub(1, Ordering::SeqCst);
    let mut response = match manner {
        Manner::Unavailable => refusal(),
        Manner::Overloaded => {
            let mut response = plain("no room\n");
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
        _ if is_grpc => greeting(),
        _ => plain("Hello, World! 317\n"),
    };
    if manner == Manner::Closes {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert("connection", close);
    }
    if let Manner::Cold(count) = manner {
        let timing = if nth < count {
            "queue;dur=1.000, boot;dur=900.0, connect;dur=0.1, first-byte;dur=1.0"
        } else {
            "connect;dur=0.1, first-byte;dur=1.0"
        };
        let timing = HeaderValue::from_static(timing);
        response.headers_mut().insert("server-timing", timing);
    }
    Ok(response)
}

fn plain(text: &'static str) -> Response<Body> {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed())
}

fn greeting() -> Response<Body> {
    let reply = HelloReply {
        message: "Hello, Invoke relay! 317".to_owned(),
    };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(reply.encoded_len() as u32);
    frame.put_slice(&reply.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze());
    let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

fn refusal() -> Response<Body> {
    let mut response = Response::new(Full::default().boxed());
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("grpc-status", "14"),
        ("grpc-message", "no instance"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// What a server does with a connection that speaks no protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rude {
    /// Resets it once something has come.
    Resets,
    /// Closes it once something has come.
    Closes,
    /// Says something else.
    Babbles,
}

pub(crate) async fn serve_rudely(rude: Rude) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(end(stream, rude));
        }
    });
    address
}

async fn end(mut stream: TcpStream, rude: Rude) -> std::io::Result<()> {
    let mut buffer = [0; 16];
    match rude {
        Rude::Resets => {
            stream.read_exact(&mut buffer).await?;
            // What is unread makes the kernel send a reset when it is closed, and so does this.
            stream.set_zero_linger()?;
        }
        Rude::Closes => {
            // All that comes is read, so that the end is an orderly one.
            stream.read_exact(&mut buffer).await?;
            stream.shutdown().await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
        }
        Rude::Babbles => {
            stream.write_all(b"220 mail.example.com ESMTP\r\n").await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
        }
    }
    Ok(())
}

/// A port on which nobody listens, and nobody will while this is kept: it is bound.
pub(crate) fn closed_port() -> (SocketAddr, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .expect("a port");
    (socket.local_addr().expect("an address"), socket)
}

/// A host that answers nothing: a port whose queue of connections is full, so that the kernel drops what comes.
pub(crate) struct DeadHost {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

pub(crate) async fn dead_host() -> DeadHost {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut queue = Vec::new();
    // As many as the kernel takes; the first that it does not take it goes on dropping.
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        queue.push(connected.expect("a connection"));
        assert!(queue.len() < 64, "the queue has no end");
    }
    DeadHost {
        address,
        _listener: listener,
        _queue: queue,
    }
}
