//! How long client connections live.

use std::time::Duration;

use gateway::RevisionConfig;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::instance::Instance;
use crate::rig::{HOST, Rig, get, until};

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_let_go() {
    let instance = Instance::answering("hello").await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let (mut http1, mut http2) = (rig.http1().await, rig.http2().await);
    for silence in [0, 59, 59] {
        sleep(Duration::from_secs(silence)).await;
        assert_eq!(http1.ask(get()).await.body, "hello");
        let request = crate::rig::to_host("GET", crate::rig::empty());
        http2.send_request(request).await.unwrap();
    }
    sleep(Duration::from_secs(80)).await;
    until(|| http1.sender.is_closed() && http2.is_closed()).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_its_head_is_cut_off() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let start = Instant::now();
    for beginning in ["", "G", "GET / HTTP/1.1\r\nhost: "] {
        let mut stream = rig.tcp().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset, but not left open.
        let _ = stream.read_to_end(&mut answer).await;
    }
    assert!(start.elapsed() <= Duration::from_secs(3 * 100));
}

#[tokio::test(start_paused = true)]
async fn a_response_under_way_is_not_idle_however_silent() {
    let instance = Instance::http(async |_| {
        let words = futures_util::stream::unfold(0, async |count| {
            sleep(Duration::from_secs(200)).await;
            (count < 2).then(|| (Ok(Frame::data("word".into())), count + 1))
        });
        Response::new(StreamBody::new(words).boxed_unsync())
    })
    .await;
    let config = RevisionConfig {
        timeout: Duration::ZERO,
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    assert_eq!(rig.get().await.body, "wordword");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let instance = Instance::http(async |request: http::Request<_>| {
        crate::instance::text(format!("<{}>", request.uri().path()))
    })
    .await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let mut stream = rig.tcp().await;
    let request =
        |path: &str, last: &str| format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{last}\r\n");
    let both = request("/1", "") + &request("/2", "connection: close\r\n");
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let (first, second) = (answers.find("</1>"), answers.find("</2>"));
    assert!(first.is_some() && first < second, "{answers}");
}
