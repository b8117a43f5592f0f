//! Calls functions through the ingress, over one connection, and times them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use load::{grpc, wildcard_dns};

/// How the function is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http,
    /// `helloworld.Greeter/SayHello` over HTTP/2 with prior knowledge.
    Grpc,
}

/// Where a function answers: an address to connect to, and the host name to ask it for.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Host with its port, as in the URL.
    pub(crate) authority: String,
}

impl Target {
    /// The target of a function's URL; `gateway` (HOST:PORT) overrides where to connect.
    pub(crate) async fn of(url: &str, gateway: Option<&str>) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("not a URL: {url:?}"))?;
        let authority = uri
            .authority()
            .with_context(|| format!("no host in {url:?}"))?;
        let address = if let Some(gateway) = gateway {
            resolve(gateway).await?
        } else {
            let port = authority.port_u16().unwrap_or(80);
            match wildcard_dns::address(authority.host()) {
                Some(address) => SocketAddr::from((address, port)),
                None => resolve(&format!("{}:{port}", authority.host())).await?,
            }
        };
        Ok(Self {
            address,
            authority: authority.to_string(),
        })
    }
}

async fn resolve(host_port: &str) -> Result<SocketAddr> {
    tokio::net::lookup_host(host_port)
        .await
        .with_context(|| format!("cannot resolve {host_port}"))?
        .next()
        .with_context(|| format!("{host_port} has no address"))
}

/// What came back of one call.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The function's answer, as text.
    pub(crate) text: String,
    /// From the first byte sent to the last byte received.
    pub(crate) elapsed: Duration,
    /// From the first byte sent to the head of the answer.
    pub(crate) head: Duration,
    /// Phases that the gateway reported, in milliseconds, in its order (`Server-Timing`).
    pub(crate) phases: Vec<(String, f64)>,
}

enum Sender {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

/// One open connection to the ingress.
pub(crate) struct Connection {
    sender: Sender,
    authority: String,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(target: &Target, protocol: Protocol) -> Result<Self> {
        let stream = TcpStream::connect(target.address)
            .await
            .with_context(|| format!("cannot connect to the ingress at {}", target.address))?;
        Self::over(stream, &target.authority, protocol).await
    }

    /// Speaks over a connection that is there.
    pub(crate) async fn over(
        stream: TcpStream,
        authority: &str,
        protocol: Protocol,
    ) -> Result<Self> {
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        let sender = match protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Sender::Http(sender)
            }
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Sender::Grpc(sender)
            }
        };
        Ok(Self {
            sender,
            authority: authority.to_owned(),
        })
    }

    /// Calls the function once with `data` (the name to greet, or the request's body) and waits at most
    /// `deadline`. With `explain` the gateway is asked where the time went.
    pub(crate) async fn call(
        &mut self,
        path: &str,
        data: &str,
        explain: bool,
        deadline: Duration,
    ) -> Result<Reply> {
        tokio::time::timeout(deadline, self.call_unbounded(path, data, explain))
            .await
            .with_context(|| format!("no answer within {} s", deadline.as_secs_f64()))?
    }

    async fn call_unbounded(&mut self, path: &str, data: &str, explain: bool) -> Result<Reply> {
        let started = Instant::now();
        let head;
        let (parts, trailers, body) = match &mut self.sender {
            Sender::Http(sender) => {
                let method = if data.is_empty() {
                    Method::GET
                } else {
                    Method::POST
                };
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(header::HOST, &self.authority);
                let request =
                    explained(request, explain).body(Full::new(Bytes::from(data.to_owned())))?;
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                head = started.elapsed();
                receive(response).await?
            }
            Sender::Grpc(sender) => {
                let message = grpc::HelloRequest {
                    name: data.to_owned(),
                };
                let request = Request::builder()
                    .method(Method::POST)
                    .uri(format!("http://{}{}", self.authority, grpc::SAY_HELLO))
                    .header(header::CONTENT_TYPE, "application/grpc")
                    .header(header::TE, "trailers");
                let request = explained(request, explain).body(Full::new(grpc::frame(&message)))?;
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                head = started.elapsed();
                receive(response).await?
            }
        };
        let elapsed = started.elapsed();
        let text = match self.sender {
            Sender::Http(_) if parts.status.is_success() => {
                String::from_utf8_lossy(&body).into_owned()
            }
            Sender::Grpc(_) if parts.status == StatusCode::OK => {
                grpc::reply(&parts.headers, trailers.as_ref(), &body)?.message
            }
            _ => bail!(
                "HTTP {}: {}",
                parts.status,
                String::from_utf8_lossy(&body).trim()
            ),
        };
        let phases = parts
            .headers
            .get("server-timing")
            .and_then(|value| value.to_str().ok())
            .map(server_timing)
            .unwrap_or_default();
        Ok(Reply {
            text,
            elapsed,
            head,
            phases,
        })
    }
}

fn explained(request: http::request::Builder, explain: bool) -> http::request::Builder {
    if explain {
        request.header("vhive-explain", "1")
    } else {
        request
    }
}

async fn receive(
    response: Response<Incoming>,
) -> Result<(http::response::Parts, Option<http::HeaderMap>, Bytes)> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.context("the answer broke off")?;
    let trailers = body.trailers().cloned();
    Ok((parts, trailers, body.to_bytes()))
}

/// `name;dur=1.5, …` of a `Server-Timing` header (W3C Server Timing), durations in milliseconds.
fn server_timing(value: &str) -> Vec<(String, f64)> {
    value
        .split(',')
        .filter_map(|metric| {
            let mut parts = metric.trim().split(';');
            let name = parts.next()?.trim();
            let duration = parts.find_map(|part| part.trim().strip_prefix("dur=")?.parse().ok())?;
            Some((name.to_owned(), duration))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_in_their_order() {
        assert_eq!(
            server_timing("queue;dur=1.25, boot;desc=\"x\";dur=1100, cache"),
            [("queue".to_owned(), 1.25), ("boot".to_owned(), 1100.0)]
        );
    }

    #[tokio::test]
    async fn a_url_that_carries_its_address_needs_no_resolver() {
        let target = Target::of("http://f.default.127.0.0.1.sslip.io:8080", None)
            .await
            .unwrap();
        assert_eq!(target.address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(target.authority, "f.default.127.0.0.1.sslip.io:8080");
    }
}
