use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway::{Protocol, RevisionConfig};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::instance::{Instance, text};
use crate::rig::{HOST, Rig, empty, key, to_host};

fn limits(timeout: u64, start: u64, idle: u64) -> RevisionConfig {
    RevisionConfig {
        timeout: Duration::from_secs(timeout),
        response_start_timeout: Duration::from_secs(start),
        idle_timeout: Duration::from_secs(idle),
        ..RevisionConfig::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_does_not_answer_is_given_up() {
    let instance = Instance::http(|_| std::future::pending()).await;
    for (config, limit) in [
        (limits(7, 0, 0), "timeoutSeconds of 7s"),
        (limits(7, 3, 0), "responseStartTimeoutSeconds of 3s"),
        (limits(7, 3, 2), "idleTimeoutSeconds of 2s"),
    ] {
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let answer = rig.get().await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(answer.body, "request timeout", "as Knative has it");
        assert_eq!(
            answer.header("vhive-reason"),
            format!("revision default/hello-00001 did not answer within its {limit}")
        );
        assert_eq!(rig.gateway.stats(&key()).in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_head_the_body_ends_cleanly() {
    // One word per second, for ever.
    let instance = Instance::http(async |_| {
        let words = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(hyper::body::Frame::data("word".into())), ()))
        });
        Response::new(StreamBody::new(words).boxed_unsync())
    })
    .await;
    let rig = Rig::start(limits(5, 0, 2), vec![instance.endpoint("a")]).await;
    let mut stream = rig.tcp().await;
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("4\r\nword\r\n0\r\n\r\n"), "{response}");
    assert_eq!(rig.gateway.stats(&key()).in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn silence_in_the_middle_of_a_response_is_bounded() {
    let instance = Instance::http(async |_| {
        let words = futures_util::stream::unfold(1, async |seconds| {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok(hyper::body::Frame::data("word".into())), seconds * 4))
        });
        Response::new(StreamBody::new(words).boxed_unsync())
    })
    .await;
    let rig = Rig::start(limits(0, 0, 10), vec![instance.endpoint("a")]).await;
    // Words come after 1, 4 and 16 seconds.
    assert_eq!(rig.get().await.body, "wordword");
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_starts_a_new_clock_for_each_request() {
    let instance = Instance::http(async |_| {
        tokio::time::sleep(Duration::from_secs(4)).await;
        text("slow")
    })
    .await;
    let rig = Rig::start(limits(5, 0, 0), vec![instance.endpoint("a")]).await;
    let mut client = rig.http1().await;
    for _ in 0..3 {
        assert_eq!(client.ask(crate::rig::get()).await.body, "slow");
    }
    assert_eq!(instance.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_known_length_that_is_cut_short_ends_without_a_reset() {
    let instance = Instance::raw(async |mut stream| {
        let mut head = [0; 1024];
        assert_ne!(stream.read(&mut head).await.unwrap(), 0);
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart";
        stream.write_all(part).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let rig = Rig::start(limits(5, 0, 0), vec![instance.endpoint("a")]).await;
    let mut stream = rig.tcp().await;
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.ends_with("\r\n\r\npart"), "{response}");
}

/// Answers without end the first time, and shortly from then on.
async fn endless_once() -> Instance {
    let begun = Arc::<AtomicBool>::default();
    Instance::http(move |_| {
        let endless = !begun.swap(true, Ordering::SeqCst);
        async move {
            if !endless {
                return text("next");
            }
            let part = || Ok(hyper::body::Frame::data(vec![0; 16 << 10].into()));
            let parts = futures_util::stream::repeat_with(part);
            Response::new(StreamBody::new(parts).boxed_unsync())
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_given_up_when_the_time_is_over() {
    for (protocol, idle) in [(Protocol::Http1, 0), (Protocol::H2c, 0), (Protocol::H2c, 2)] {
        let config = RevisionConfig {
            protocol,
            container_concurrency: 1,
            ..limits(5, 0, idle)
        };
        let instance = endless_once().await;
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let mut http2 = rig.http2_with_window(0).await;
        let mut response = http2.send_request(to_host("GET", empty())).await.unwrap();
        assert_eq!(rig.get().await.body, "next", "{protocol:?} {idle}");
        let error = response.body_mut().frame().await.unwrap().unwrap_err();
        assert!(
            error.to_string().contains("error reading a body"),
            "{error}"
        );
        let response = http2.send_request(to_host("GET", empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "the connection goes on");

        let instance = endless_once().await;
        let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
        let mut http1 = rig.tcp().await;
        let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
        http1.write_all(request.as_bytes()).await.unwrap();
        rig.until(|stats| stats.in_flight == 1).await;
        assert_eq!(rig.get().await.body, "next", "{protocol:?} {idle}");
        // What was sent is there, and then the end.
        let mut taken = Vec::new();
        http1.read_to_end(&mut taken).await.unwrap();
        assert!(taken.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}
