use futures_util::FutureExt as _;
use gateway::{Failure, Options, RevisionConfig};
use http::{Request, StatusCode};

use crate::instance::Instance;
use crate::rig::{HOST, Rig, empty, get, key, to_host};

fn failure() -> Failure {
    Failure {
        reason: "ExitCode1".to_owned(),
        message: "the function exited: 100% broken".to_owned(),
        next_try: None,
    }
}

#[tokio::test]
async fn a_request_waits_for_the_first_endpoint_and_tells_its_cold_start() {
    let instance = Instance::answering("hello").await;
    let mut rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let mut client = rig.http1().await;
    let explained = || {
        Request::get("/")
            .header("host", HOST)
            .header("vhive-explain", "1")
            .body(empty())
            .unwrap()
    };
    let request = explained();
    let waiting = tokio::spawn(async move { (client.ask(request).await, client) });
    assert_eq!(rig.demand.recv().await, Some(key()));
    rig.until(|stats| stats.queued == 1).await;
    rig.gateway
        .set_endpoints(&key(), vec![instance.endpoint("a")]);

    let (cold, mut client) = waiting.await.unwrap();
    assert_eq!(cold.body, "hello");
    let names = |timing: &str| -> Vec<String> {
        let name = |part: &str| part.trim().split(';').next().unwrap().to_owned();
        timing.split(',').map(name).collect()
    };
    assert_eq!(
        names(cold.header("server-timing")),
        [
            "queue",
            "network",
            "boot",
            "connect",
            "first-byte",
            "instance"
        ]
    );
    let warm = client.ask(explained()).await;
    assert_eq!(
        names(warm.header("server-timing")),
        ["connect", "first-byte", "instance"]
    );
    let unasked = client.ask(get()).await;
    assert_eq!(unasked.header("server-timing"), "");
}

#[tokio::test]
async fn demand_is_named_once_until_it_is_seen() {
    let mut rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let _first = rig.spawn_get().await;
    let _second = rig.spawn_get().await;
    rig.until(|stats| stats.queued == 2).await;
    assert_eq!(rig.demand.recv().await, Some(key()));
    assert_eq!(rig.demand.recv().now_or_never(), None);
    let _third = rig.spawn_get().await;
    assert_eq!(rig.demand.recv().await, Some(key()));
}

#[tokio::test]
async fn losing_the_last_endpoint_under_a_queue_raises_demand() {
    let instance = Instance::http(|_| std::future::pending()).await;
    let config = RevisionConfig {
        container_concurrency: 1,
        ..RevisionConfig::default()
    };
    let mut rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    let _stuck = rig.spawn_get().await;
    let _waiting = rig.spawn_get().await;
    rig.until(|stats| stats.in_flight == 1 && stats.queued == 1)
        .await;
    assert_eq!(rig.demand.recv().now_or_never(), None);
    rig.gateway.set_endpoints(&key(), vec![]);
    assert_eq!(rig.demand.recv().await, Some(key()));
}

#[tokio::test]
async fn a_failure_reaches_those_who_wait_and_those_who_come_later() {
    let instance = Instance::answering("hello").await;
    let mut rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let waiting = rig.spawn_get().await;
    rig.demand.recv().await;
    rig.until(|stats| stats.queued == 1).await;
    rig.gateway.set_failure(&key(), Some(failure()));
    for answer in [waiting.await.unwrap(), rig.get().await] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            answer.body,
            "revision default/hello-00001 has no instance: ExitCode1: the function exited: 100% broken\n"
        );
    }
    assert_eq!(rig.demand.recv().await, Some(key()), "it is tried again");
    rig.gateway
        .set_endpoints(&key(), vec![instance.endpoint("a")]);
    assert_eq!(rig.get().await.body, "hello");
    rig.gateway.set_endpoints(&key(), vec![]);
    let waiting = rig.spawn_get().await;
    rig.until(|stats| stats.queued == 1).await;
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_when_it_is_tried_again() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let failure = Failure {
        next_try: Some(tokio::time::Instant::now() + std::time::Duration::from_millis(7500)),
        ..failure()
    };
    rig.gateway.set_failure(&key(), Some(failure));
    let answer = rig.get().await;
    assert_eq!(answer.header("retry-after"), "8");
    assert!(
        answer.body.starts_with(
            "revision default/hello-00001 has no instance, and is tried again in 8 s: ExitCode1: "
        ),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_failure_reaches_a_grpc_client_as_a_status() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    rig.gateway.set_failure(&key(), Some(failure()));
    let mut request = to_host("POST", empty());
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    let response = rig.http2().await.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(response.headers()["grpc-status"], "14");
    let message = response.headers()["grpc-message"].to_str().unwrap();
    assert!(
        message.ends_with("the function exited: 100%25 broken"),
        "{message}"
    );
    let body = response.into_body();
    assert!(hyper::body::Body::is_end_stream(&body), "trailers only");
    assert_eq!(rig.gateway.stats(&key()).responses, [0, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_queue_timeout() {
    let config = RevisionConfig {
        queue_timeout: std::time::Duration::from_secs(30),
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![]).await;
    let answer = rig.get().await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(
        answer.body.contains("default/hello-00001"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("became ready within 30s"),
        "{}",
        answer.body
    );
    assert_eq!(rig.gateway.stats(&key()).queued, 0);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_queue() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let http1 = rig.spawn_get().await;
    let mut client = rig.http2().await;
    let http2 = tokio::spawn(async move { client.send_request(to_host("GET", empty())).await });
    rig.until(|stats| stats.queued == 2).await;
    http1.abort();
    rig.until(|stats| stats.queued == 1).await;
    http2.abort();
    rig.until(|stats| stats.queued == 0).await;
}

#[tokio::test]
async fn the_activator_queue_is_bounded() {
    let options = Options {
        activator_queue: 2,
        ..Options::default()
    };
    let rig = Rig::start_with(options, RevisionConfig::default(), vec![]).await;
    let _first = rig.spawn_get().await;
    let _second = rig.spawn_get().await;
    rig.until(|stats| stats.queued == 2).await;
    let answer = rig.get().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.body.starts_with("pending request queue full"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn removing_a_revision_refuses_those_who_wait() {
    let rig = Rig::start(RevisionConfig::default(), vec![]).await;
    let waiting = rig.spawn_get().await;
    rig.until(|stats| stats.queued == 1).await;
    rig.gateway.remove_revision(&key());
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("does not exist"), "{}", answer.body);
}
