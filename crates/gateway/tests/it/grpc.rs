use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use gateway::{Protocol, RevisionConfig};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use prost::Message;
use tokio::sync::{Semaphore, mpsc};

use crate::instance::{self, Instance};
use crate::rig::{Answer, Body, Rig, empty, full, to_host};

#[derive(Clone, PartialEq, Message)]
struct Hello {
    #[prost(string, tag = "1")]
    name: String,
}

/// Length-prefixed, not compressed.
fn pack(name: &str) -> Bytes {
    let message = Hello {
        name: name.to_owned(),
    };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len() as u32);
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

fn unpack(mut bytes: Bytes) -> String {
    assert_eq!(bytes.get_u8(), 0);
    assert_eq!(bytes.get_u32() as usize, bytes.len());
    Hello::decode(bytes).unwrap().name
}

fn call(body: Body) -> Request<Body> {
    let mut request = to_host("POST", body);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc+proto".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    request
}

/// Answers each call with a greeting and its trailers.
async fn greet(request: Request<Incoming>) -> Response<instance::Body> {
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.headers()["te"], "trailers");
    let name = unpack(request.into_body().collect().await.unwrap().to_bytes());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-checked", "yes".parse().unwrap());
    let frames = [
        Ok::<_, Infallible>(Frame::data(pack(&format!("hello {name}")))),
        Ok(Frame::trailers(trailers)),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Response::builder()
        .header("content-type", "application/grpc+proto")
        .body(body.boxed_unsync())
        .unwrap()
}

#[tokio::test]
async fn a_call_passes_with_its_trailers_whatever_the_port_is_named() {
    let instance = Instance::http(greet).await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let config = RevisionConfig {
            protocol,
            ..RevisionConfig::default()
        };
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let mut client = rig.http2().await;
        let response = client.send_request(call(full(pack("you")))).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap();
        assert_eq!(unpack(collected.to_bytes()), "hello you");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-checked"], "yes");
    }
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let instance = Instance::http(greet).await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let client = rig.http2().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut client = client.clone();
        calls.spawn(async move {
            let response = client.send_request(call(full(pack("you")))).await.unwrap();
            Answer::of(response).await.trailers["grpc-status"].clone()
        });
    }
    assert!(calls.join_all().await.iter().all(|status| status == "0"));
    assert_eq!(instance.connections(), 1);
}

#[tokio::test]
async fn another_connection_is_made_when_the_limit_of_streams_is_reached() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let instance = Instance::http_with(
        |server| {
            server.http2().max_concurrent_streams(1);
        },
        {
            let go = go.clone();
            move |request| {
                let go = go.clone();
                started.send(()).unwrap();
                async move {
                    go.acquire().await.unwrap().forget();
                    greet(request).await
                }
            }
        },
    )
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut held = Vec::new();
    for number in 1..=3 {
        let mut client = rig.http2().await;
        held.push(tokio::spawn(async move {
            let response = client.send_request(call(full(pack("you")))).await;
            Answer::of(response.unwrap()).await
        }));
        starts.recv().await.unwrap();
        assert_eq!(instance.connections(), number);
    }
    go.add_permits(3);
    for call in held {
        assert_eq!(call.await.unwrap().trailers["grpc-status"], "0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_gets_its_status() {
    let silent = Instance::http(|_| std::future::pending()).await;
    let stalling = Instance::http(async |_| {
        let first = futures_util::stream::iter([Ok(Frame::data(pack("first")))]);
        let body = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        Response::new(StreamBody::new(body).boxed_unsync())
    })
    .await;
    let config = RevisionConfig {
        timeout: Duration::from_secs(5),
        ..RevisionConfig::default()
    };

    let rig = Rig::start(config, vec![silent.endpoint("a")]).await;
    let response = rig.http2().await.send_request(call(empty())).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4", "trailers only");

    let rig = Rig::start(config, vec![stalling.endpoint("a")]).await;
    let response = rig.http2().await.send_request(call(empty())).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "4");
    assert_eq!(unpack(collected.to_bytes()), "first");
}

#[tokio::test]
async fn an_unknown_host_is_unimplemented() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let mut request = call(empty());
    *request.uri_mut() = "http://nobody.example/".parse().unwrap();
    let response = rig.http2().await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "12");
}
