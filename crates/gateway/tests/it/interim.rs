//! Interim responses (1xx).

use std::sync::Arc;

use gateway::{Protocol, RevisionConfig};
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::instance::Instance;
use crate::rig::{Answer, HOST, Rig, empty, to_host};

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

/// Sends hints, and its answer when it may.
async fn hinting(go: Arc<Semaphore>) -> Instance {
    Instance::raw(move |mut stream| {
        let go = go.clone();
        async move {
            loop {
                read_until(&mut stream, "\r\n\r\n").await;
                let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\
                    connection: x-hop\r\nx-hop: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
                stream.write_all(hints).await.unwrap();
                go.acquire().await.unwrap().forget();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn early_hints_reach_the_client_before_the_answer() {
    let go = Arc::new(Semaphore::new(0));
    let instance = hinting(go.clone()).await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.tcp().await;
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    for _ in 0..3 {
        client.write_all(request.as_bytes()).await.unwrap();
        let hints = read_until(&mut client, "\r\n\r\n").await;
        assert_eq!(
            hints,
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
        );
        let processing = read_until(&mut client, "\r\n\r\n").await;
        assert_eq!(processing, "HTTP/1.1 102 Processing\r\n\r\n");
        go.add_permits(1);
        let answer = read_until(&mut client, "\r\n\r\nok").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    assert_eq!(instance.connections(), 1);
}

#[tokio::test]
async fn hints_of_an_instance_that_is_spoken_to_in_http2_reach_the_client_too() {
    let instance = Instance::raw(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let hints = Response::builder().status(103).header("link", "</a.css>");
            respond.send_informational(hints.body(()).unwrap()).unwrap();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data("ok".into(), true).unwrap();
        }
    })
    .await;
    let config = RevisionConfig {
        protocol: Protocol::H2c,
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    let mut client = rig.tcp().await;
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(answer.starts_with(hints), "{answer}");
}

#[tokio::test]
async fn those_who_cannot_get_hints_get_the_answer() {
    let go = Arc::new(Semaphore::new(2));
    let instance = hinting(go).await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let request = to_host("GET", empty());
    let response = rig.http2().await.send_request(request).await.unwrap();
    assert_eq!(Answer::of(response).await.body, "ok");

    let mut old = rig.tcp().await;
    let request = format!("GET / HTTP/1.0\r\nhost: {HOST}\r\n\r\n");
    old.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}
