use gateway::RevisionConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::instance::{Instance, text};
use crate::rig::{HOST, Rig};

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

fn head() -> String {
    format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn the_body_is_asked_for_when_the_instance_asks() {
    let instance = Instance::http(async |request: http::Request<hyper::body::Incoming>| {
        assert_eq!(request.headers()["expect"], "100-continue");
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        text(body.unwrap().to_bytes())
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.tcp().await;
    client.write_all(head().as_bytes()).await.unwrap();
    let informed = read_until(&mut client, "\r\n\r\n").await;
    assert!(informed.starts_with("HTTP/1.1 100 "), "{informed}");
    client.write_all(b"body").await.unwrap();
    let response = read_until(&mut client, "body").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_refuses_costs_no_upload() {
    let instance = Instance::http(async |_| {
        let mut response = text("too large");
        *response.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
        response
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.tcp().await;
    client.write_all(head().as_bytes()).await.unwrap();
    let response = read_until(&mut client, "too large").await;
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_does_not_know_the_expectation_gets_the_body_all_the_same() {
    let instance = Instance::raw(async |mut stream| {
        read_until(&mut stream, "\r\n\r\nbody").await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.tcp().await;
    client.write_all(head().as_bytes()).await.unwrap();
    let informed = read_until(&mut client, "\r\n\r\n").await;
    assert!(informed.starts_with("HTTP/1.1 100 "), "{informed}");
    client.write_all(b"body").await.unwrap();
    let response = read_until(&mut client, "\r\n\r\nok").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}
