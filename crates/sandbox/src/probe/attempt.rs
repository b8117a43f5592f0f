//! One attempt of a probe.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, TE};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;
use vmm::agent::Command;
use vmm::agent::protocol::{ExecEnd, GUEST};

use super::{Dial, Function};
use crate::config::Probe;
use crate::exec::Door;

/// Most bytes of an answer to a gRPC probe, whose message has 7: the guest is not trusted to end.
const LONGEST_ANSWER: usize = 4096;

/// Most bytes that are kept of what a command says, which nobody reads: as the kubelet has it
/// (k8s.io/kubernetes `pkg/probe/exec/exec.go`).
const MOST_SAID: usize = 10 * 1024;

/// How an attempt came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Success,
    Failure,
    /// It was not over within its time.
    Late,
}

/// Tries once.
pub(super) async fn attempt(function: &Function, probe: &Probe, within: Duration) -> Attempt {
    match timeout(within, succeeds(function, probe, within)).await {
        Ok(true) => Attempt::Success,
        Ok(false) => Attempt::Failure,
        Err(_) => Attempt::Late,
    }
}

async fn succeeds(function: &Function, probe: &Probe, within: Duration) -> bool {
    let dial = &function.dial;
    match probe {
        Probe::None => true,
        Probe::Exec { command, port } => {
            let listens = match port {
                Some(port) => dial(*port).await.is_ok(),
                None => true,
            };
            listens && run(&function.door, command, within).await
        }
        Probe::Tcp { port } => dial(*port).await.is_ok(),
        Probe::Http {
            port,
            path,
            headers,
        } => get(dial, *port, path, headers)
            .await
            .is_ok_and(|status| (200..400).contains(&status)),
        Probe::Grpc { port, service } => {
            check(dial, *port, service).await.is_ok_and(|serves| serves)
        }
    }
}

/// Whether a command ends with exit code 0. The guest kills it when its time is over.
async fn run(door: &Door, command: &[String], within: Duration) -> bool {
    let command = Command {
        argv: command.to_vec(),
        timeout: Some(within),
        max_output: MOST_SAID,
        ..Command::default()
    };
    let executed = door.exec(command).await;
    executed.is_ok_and(|executed| executed.end == ExecEnd::Exited { code: 0 })
}

/// The status of the answer to a GET.
async fn get(dial: &Dial, port: u16, path: &str, headers: &[(String, String)]) -> io::Result<u16> {
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

    let stream = dial(port).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // The connection makes progress only while it is polled, and is not needed after the answer's head.
    tokio::select! {
        answer = sender.send_request(request) => {
            answer.map(|answer| answer.status().as_u16()).map_err(io::Error::other)
        }
        result = connection => Err(ended(result)),
    }
}

/// Asks `grpc.health.v1.Health/Check`
/// (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>). An empty `service` is the server as a whole.
async fn check(dial: &Dial, port: u16, service: &str) -> io::Result<bool> {
    let request = Request::post(format!("http://{GUEST}:{port}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(health_request(service)))
        .map_err(io::Error::other)?;
    let stream = dial(port).await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
    let answer = async {
        let answer = sender.send_request(request);
        let (head, body) = answer.await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(io::Error::other)?;
        let status = body
            .trailers()
            .and_then(|trailers| trailers.get("grpc-status"))
            .or_else(|| head.headers.get("grpc-status"));
        let fine = status.is_some_and(|status| status == "0");
        Ok(fine && serves(&body.to_bytes()))
    };
    tokio::select! {
        answer = answer => answer,
        result = connection => Err(ended(result)),
    }
}

fn ended(result: hyper::Result<()>) -> io::Error {
    match result {
        Ok(()) => io::ErrorKind::UnexpectedEof.into(),
        Err(error) => io::Error::other(error),
    }
}

/// `HealthCheckRequest { string service = 1 }`, length-prefixed. Longer names than this protocol buffers' one-byte length allows
/// are cut off: no health server knows them.
fn health_request(service: &str) -> Bytes {
    let service = &service.as_bytes()[..service.len().min(127)];
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        message.put_u8(service.len() as u8);
        message.put_slice(service);
    }
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    framed.freeze()
}

/// Whether `HealthCheckResponse { ServingStatus status = 1 }` says `SERVING`, which is 1.
fn serves(body: &[u8]) -> bool {
    matches!(body, [0, _, _, _, _, message @ ..] if *message == [1 << 3, 1])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use http_body_util::StreamBody;
    use hyper::body::{Frame, Incoming};
    use hyper::service::service_fn;
    use hyper::{HeaderMap, Response};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A gRPC server that says `status` of the service `db`, and does not know others; and the way to it.
    async fn health(status: u8) -> Dial {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(move |request: Request<Incoming>| async move {
                    let path = request.uri().path().to_owned();
                    let asked = request.into_body().collect().await.unwrap().to_bytes();
                    let known =
                        path == "/grpc.health.v1.Health/Check" && asked.ends_with(b"\x02db");
                    let mut trailers = HeaderMap::new();
                    let code = if known { "0" } else { "5" };
                    trailers.insert("grpc-status", code.parse().unwrap());
                    let mut frames = Vec::new();
                    if known {
                        let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
                        frames.push(Ok::<_, Infallible>(Frame::data(message)));
                    }
                    frames.push(Ok(Frame::trailers(trailers)));
                    let body = StreamBody::new(futures_util::stream::iter(frames));
                    Ok::<_, Infallible>(Response::new(body))
                });
                tokio::spawn(
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Arc::new(move |_| Box::pin(TcpStream::connect(address)))
    }

    async fn asked(dial: &Dial, probe: &Probe) -> bool {
        let function = Function {
            dial: dial.clone(),
            door: Door::default(),
        };
        attempt(&function, probe, Duration::from_secs(20)).await == Attempt::Success
    }

    fn grpc(service: &str) -> Probe {
        Probe::Grpc {
            port: 1,
            service: service.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_grpc_probe_wants_its_service_to_be_serving() {
        let (serving, not_serving) = (health(1).await, health(2).await);
        assert!(asked(&serving, &grpc("db")).await);
        assert!(!asked(&serving, &grpc("other")).await, "not known");
        assert!(!asked(&serving, &grpc("")).await, "not known either");
        assert!(!asked(&not_serving, &grpc("db")).await);
    }

    #[tokio::test]
    async fn a_grpc_probe_gives_up_on_an_answer_that_does_not_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|_: Request<Incoming>| async {
                let flood = Bytes::from_static(&[0; 1024]);
                let frames =
                    std::iter::repeat_with(move || Ok::<_, Infallible>(Frame::data(flood.clone())));
                let body = StreamBody::new(futures_util::stream::iter(frames));
                Ok::<_, Infallible>(Response::new(body))
            });
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
        let dial: Dial = Arc::new(move |_| Box::pin(TcpStream::connect(address)));
        assert!(!asked(&dial, &grpc("")).await);
    }

    #[tokio::test]
    async fn a_grpc_probe_of_what_does_not_speak_grpc_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
            }
        });
        let dial: Dial = Arc::new(move |_| Box::pin(TcpStream::connect(address)));
        assert!(!asked(&dial, &grpc("")).await);
    }

    #[test]
    fn a_request_for_the_whole_server_is_an_empty_message() {
        assert_eq!(&*health_request(""), &[0; 5]);
        assert_eq!(&*health_request("db"), b"\0\0\0\0\x04\x0a\x02db");
    }
}
