use std::time::Duration;

use gateway::{Protocol, RevisionConfig};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::instance::{self, Instance};
use crate::rig::{HOST, Rig, empty, get, to_host};

/// Accepts an upgrade and sends back what it receives.
async fn echo(mut request: Request<Incoming>) -> Response<instance::Body> {
    assert_eq!(request.headers()["connection"], "upgrade");
    assert_eq!(request.headers()["upgrade"], "websocket");
    assert_eq!(request.method(), "GET");
    let key = request.headers()["sec-websocket-key"].to_str().unwrap();
    match request.uri().path() {
        "/chat" => assert_eq!(key, "dGhlIHNhbXBsZSBub25jZQ=="),
        // Sixteen bytes of the gateway's own.
        _ => assert!(key.len() == 24 && key.ends_with("=="), "{key}"),
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        .body(Full::default().boxed_unsync())
        .unwrap()
}

const HANDSHAKE: &str = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn a_websocket_passes_whatever_the_port_is_named_and_counts_as_a_request_in_flight() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        websocket(protocol).await;
    }
}

async fn websocket(protocol: Protocol) {
    let instance = Instance::http(echo).await;
    let config = RevisionConfig {
        protocol,
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    let mut stream = rig.tcp().await;
    // The first frame goes out with the handshake: nothing may get lost on the way to the tunnel.
    let request = format!("GET /chat HTTP/1.1\r\nhost: {HOST}\r\n{HANDSHAKE}early");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-accept: ",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    let mut word = [0; 5];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"early");
    stream.write_all(b"later").await.unwrap();
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"later");
    rig.until(|stats| stats.in_flight == 1).await;

    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.read(&mut word).await.unwrap(),
        0,
        "the end is passed on"
    );
    rig.until(|stats| stats.in_flight == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_outlives_its_timeout_but_no_silence_that_is_too_long() {
    let instance = Instance::http(echo).await;
    let config = RevisionConfig {
        timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(3),
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    let mut stream = rig.tcp().await;
    let request = format!("GET /chat HTTP/1.1\r\nhost: {HOST}\r\n{HANDSHAKE}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut last = [0; 4];
    while &last != b"\r\n\r\n" {
        last.rotate_left(1);
        last[3] = stream.read_u8().await.unwrap();
    }
    let began = Instant::now();
    let mut word = [0; 5];
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stream.write_all(b"still").await.unwrap();
        stream.read_exact(&mut word).await.unwrap();
    }
    assert_eq!(stream.read(&mut word).await.unwrap_or(0), 0);
    let lived = began.elapsed().as_secs();
    assert!((11..13).contains(&lived), "{lived} s");
    rig.until(|stats| stats.in_flight == 0).await;
}

/// An extended CONNECT (RFC 8441).
fn connect() -> Request<crate::rig::Body> {
    let mut request = to_host("CONNECT", empty());
    *request.uri_mut() = format!("http://{HOST}/over-http2").parse().unwrap();
    let websocket = hyper::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(websocket);
    request
        .headers_mut()
        .insert("sec-websocket-version", "13".parse().unwrap());
    request
}

/// A client may use an extended CONNECT once it knows that the server does (RFC 8441 §3), which comes before the first answer.
async fn learn_settings(client: &mut hyper::client::conn::http2::SendRequest<crate::rig::Body>) {
    let response = client.send_request(to_host("GET", empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_over_http2_is_one_of_many_streams_and_keeps_its_connection() {
    let instance = Instance::http(async |request: Request<Incoming>| {
        if request.headers().contains_key("upgrade") {
            echo(request).await
        } else {
            instance::text("plain")
        }
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http2().await;
    learn_settings(&mut client).await;
    let response = client.send_request(connect()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.version(), Version::HTTP_2);
    for gone in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut word = [0; 5];
    stream.write_all(b"first").await.unwrap();
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"first");
    let beside = client.send_request(to_host("GET", empty())).await.unwrap();
    assert_eq!(beside.status(), StatusCode::OK);
    rig.until(|stats| stats.in_flight == 1).await;

    // Long after a connection that is not in use is let go.
    tokio::time::sleep(Duration::from_secs(300)).await;
    stream.write_all(b"later").await.unwrap();
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"later");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut word).await.unwrap(), 0);
    rig.until(|stats| stats.in_flight == 0).await;
}

#[tokio::test]
async fn an_extended_connect_is_not_said_to_have_succeeded_when_the_instance_ignores_it() {
    let instance = Instance::answering("a page").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut client = rig.http2().await;
    learn_settings(&mut client).await;
    let response = client.send_request(connect()).await.unwrap();
    let answer = crate::rig::Answer::of(response).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.body.contains("it answered 200"), "{}", answer.body);
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_response() {
    let instance = Instance::http(async |_| {
        Response::builder()
            .status(StatusCode::UPGRADE_REQUIRED)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .body(Full::from("version 13 please").boxed_unsync())
            .unwrap()
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut request = get();
    let headers = request.headers_mut();
    headers.insert("connection", "upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    let answer = rig.http1().await.ask(request).await;
    assert_eq!(answer.status, StatusCode::UPGRADE_REQUIRED);
    assert_eq!(answer.header("upgrade"), "websocket");
    assert_eq!(answer.body, "version 13 please");
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_an_error() {
    let instance = Instance::raw(async |mut stream| {
        let mut head = [0; 1024];
        assert_ne!(stream.read(&mut head).await.unwrap(), 0);
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read(&mut head).await;
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let answer = rig.get().await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    rig.until(|stats| stats.in_flight == 0).await;
}
