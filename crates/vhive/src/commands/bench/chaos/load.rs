//! Requests that come at a steady rate, whatever becomes of those before.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request as HttpRequest, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Longer than a request may wait for an instance that takes the place of another.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Load {
    pub(super) ingress: SocketAddr,
    pub(super) host: &'static str,
    /// Requests a second.
    pub(super) rate: u32,
    /// How long an instance works on each: the end of its body comes so much later than the beginning.
    pub(super) hold: Duration,
}

/// A request that has ended.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) started: Instant,
    pub(super) ended: Instant,
    pub(super) end: End,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Response {
        status: StatusCode,
        body: String,
    },
    /// Not even a response, or not all of it.
    None(String),
}

impl Request {
    /// Whether the function has answered it.
    pub(super) fn is_well(&self) -> bool {
        let expected = format!("Hello, {}!\n", self.number);
        matches!(&self.end, End::Response { status, body } if *status == StatusCode::OK && *body == expected)
    }
}

impl Load {
    /// Lets requests come for so long, and returns when the last has ended.
    pub(super) async fn run(&self, time: Duration) -> Vec<Request> {
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        // A moment without time for this is made up for: the rate is that of clients who do not know each other.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let begun = Instant::now();
        let mut requests = JoinSet::new();
        let mut number = 0;
        while begun.elapsed() < time {
            ticks.tick().await;
            requests.spawn(one(self.ingress, self.host, self.hold, number));
            number += 1;
        }
        let mut ended = requests.join_all().await;
        ended.sort_by_key(|request| request.number);
        ended
    }
}

async fn one(ingress: SocketAddr, host: &'static str, hold: Duration, number: u64) -> Request {
    let started = Instant::now();
    let end = match timeout(PATIENCE, ask(ingress, host, hold, number)).await {
        Ok(Ok((status, body))) => End::Response { status, body },
        Ok(Err(error)) => End::None(format!("{error:#}")),
        Err(_) => End::None(format!("no answer within {PATIENCE:?}")),
    };
    Request {
        number,
        started,
        ended: Instant::now(),
        end,
    }
}

async fn ask(
    ingress: SocketAddr,
    host: &str,
    hold: Duration,
    number: u64,
) -> Result<(StatusCode, String)> {
    let stream = TcpStream::connect(ingress)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let name = number.to_string();
    let (last, first) = (
        name[name.len() - 1..].to_owned(),
        name[..name.len() - 1].to_owned(),
    );
    let chunks = stream::unfold(0, move |at| {
        let (first, last) = (first.clone(), last.clone());
        async move {
            let chunk = match at {
                0 => first,
                1 => {
                    sleep(hold).await;
                    last
                }
                _ => return None,
            };
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))), at + 1))
        }
    });
    let request = HttpRequest::builder()
        .method(Method::POST)
        .uri("/")
        .header(header::HOST, host)
        .header(header::CONTENT_LENGTH, name.len())
        .body(StreamBody::new(Box::pin(chunks)))?;
    let response = sender.send_request(request).await.context("no response")?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.context("the response broke off")?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
