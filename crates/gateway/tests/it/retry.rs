use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use gateway::{Connector, Endpoint, Options, Protocol, RevisionConfig};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, endpoint, text};
use crate::rig::{Rig, full, get, post};

/// Reads one request without a body, up to the empty line.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_kept_connection_that_the_instance_closed_is_passed_over() {
    let closed = Arc::new(Semaphore::new(0));
    let instance = Instance::raw({
        let closed = closed.clone();
        move |mut stream| {
            let closed = closed.clone();
            async move {
                let head = read_head(&mut stream).await;
                if head.starts_with("POST") {
                    let mut body = [0; 4];
                    stream.read_exact(&mut body).await.unwrap();
                    assert_eq!(&body, b"body");
                }
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await
                    .unwrap();
                drop(stream);
                closed.add_permits(1);
            }
        }
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    assert_eq!(client.ask(get()).await.body, "ok");
    closed.acquire().await.unwrap().forget();
    assert_eq!(client.ask(post(full("body"))).await.body, "ok");
    assert_eq!(instance.connections(), 2);
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_left_for_another() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let instance = Instance::http(async |request: http::Request<hyper::body::Incoming>| {
        text(request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    let config = RevisionConfig {
        container_concurrency: 1,
        ..RevisionConfig::default()
    };
    let endpoints = vec![endpoint("gone", address), instance.endpoint("there")];
    let rig = Rig::start(config, endpoints).await;
    assert_eq!(rig.http1().await.ask(post(full("body"))).await.body, "body");
}

struct Flaky {
    address: std::net::SocketAddr,
    failures: AtomicU32,
}

impl Connector for Flaky {
    fn connect(&self) -> BoxFuture<'static, io::Result<TcpStream>> {
        let fail = |left: u32| left.checked_sub(1);
        if self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail)
            .is_ok()
        {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        Box::pin(TcpStream::connect(self.address))
    }
}

fn flaky(instance: &Instance, failures: u32) -> Endpoint {
    Endpoint {
        connector: Arc::new(Flaky {
            address: instance.address,
            failures: AtomicU32::new(failures),
        }),
        ..instance.endpoint("flaky")
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_endpoint_is_tried_again_after_a_pause_but_not_for_ever() {
    let instance = Instance::answering("hello").await;
    let options = Options {
        connect_attempts: 3,
        ..Options::default()
    };
    let endpoints = vec![flaky(&instance, 2)];
    let rig = Rig::start_with(options, RevisionConfig::default(), endpoints).await;
    assert_eq!(rig.get().await.body, "hello");

    rig.gateway.set_endpoints(&crate::rig::key(), vec![]);
    rig.gateway
        .set_endpoints(&crate::rig::key(), vec![flaky(&instance, 3)]);
    let answer = rig.get().await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        answer.body,
        "cannot reach instance flaky of revision default/hello-00001 after 3 attempts: connection refused\n"
    );
}

#[tokio::test]
async fn what_may_have_reached_an_instance_is_not_sent_again() {
    let requests = Arc::<AtomicUsize>::default();
    let instance = Instance::raw({
        let requests = requests.clone();
        move |mut stream| {
            let requests = requests.clone();
            async move {
                read_head(&mut stream).await;
                requests.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let answer = rig.get().await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(
        answer.body.starts_with("instance a of revision"),
        "{}",
        answer.body
    );
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

/// An instance that takes its connections with it without a word, as a virtual machine does that is killed.
struct Mortal {
    address: std::net::SocketAddr,
    ended: CancellationToken,
}

impl Connector for Mortal {
    fn connect(&self) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(self.address))
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.ended.clone().cancelled_owned())
    }
}

#[tokio::test]
async fn a_request_fails_at_once_when_its_instance_is_gone() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let config = RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        };
        let arrived = Arc::new(Semaphore::new(0));
        let silent = Instance::http({
            let arrived = arrived.clone();
            move |_| {
                arrived.add_permits(1);
                std::future::pending()
            }
        })
        .await;
        let ended = CancellationToken::new();
        let mortal = Endpoint {
            connector: Arc::new(Mortal {
                address: silent.address,
                ended: ended.clone(),
            }),
            ..silent.endpoint("a")
        };
        let rig = Rig::start(config, vec![mortal]).await;
        let under_way = rig.spawn_get().await;
        arrived.acquire().await.unwrap().forget();
        ended.cancel();
        let answer = under_way.await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert!(
            answer.body.contains("the instance has ended"),
            "{}",
            answer.body
        );
    }
}
