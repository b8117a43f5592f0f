use std::fmt::Write as _;

use gateway::{Protocol, RevisionConfig};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::instance::{self, Instance};
use crate::rig::{Answer, HOST, Rig, empty, get, to_host};

/// Answers with the head of the request, one field a line.
async fn mirror(request: Request<Incoming>) -> Response<instance::Body> {
    let mut lines = format!(
        "{} {} {:?}\n",
        request.method(),
        request.uri(),
        request.version()
    );
    for (name, value) in request.headers() {
        writeln!(lines, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    Response::builder()
        .header("knative-serving-revision", "hello-00001")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("x-kept", "1")
        .body(Full::from(lines).boxed_unsync())
        .unwrap()
}

#[tokio::test]
async fn the_instance_sees_the_request_as_it_was_and_who_sent_it() {
    let instance = Instance::http(mirror).await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let request = Request::get("/path?query")
        .header("host", HOST)
        .header("x-mine", "1")
        .body(empty())
        .unwrap();
    let answer = rig.http1().await.ask(request).await;
    let mut lines: Vec<&str> = answer.body.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            "GET /path?query HTTP/1.1",
            &*format!("forwarded: for=127.0.0.1;host={HOST};proto=http"),
            &*format!("host: {HOST}"),
            "k-proxy-request: activator",
            "x-forwarded-for: 127.0.0.1",
            &*format!("x-forwarded-host: {HOST}"),
            "x-forwarded-proto: http",
            "x-mine: 1",
        ]
    );
}

#[tokio::test]
async fn the_client_sees_nothing_of_the_hop_behind() {
    let instance = Instance::http(mirror).await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let answer = rig.http1().await.ask(get()).await;
    for gone in [
        "knative-serving-revision",
        "keep-alive",
        "proxy-connection",
        "connection",
    ] {
        assert_eq!(answer.header(gone), "", "{gone}");
    }
    assert_eq!(answer.header("x-kept"), "1");
    assert_eq!(answer.headers.get_all("date").iter().count(), 1);
}

#[tokio::test]
async fn authority_and_host_become_each_other_between_versions() {
    let instance = Instance::http(mirror).await;
    let rig = Rig::start(RevisionConfig::default(), vec![instance.endpoint("a")]).await;
    let response = rig
        .http2()
        .await
        .send_request(to_host("GET", empty()))
        .await;
    let answer = Answer::of(response.unwrap()).await;
    assert!(
        answer.body.starts_with("GET / HTTP/1.1\n"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains(&format!("\nhost: {HOST}\n")),
        "{}",
        answer.body
    );

    let config = RevisionConfig {
        protocol: Protocol::H2c,
        ..RevisionConfig::default()
    };
    let rig = Rig::start(config, vec![instance.endpoint("a")]).await;
    let answer = rig.get().await;
    let line = format!("GET http://{HOST}/ HTTP/2.0\n");
    assert!(answer.body.starts_with(&line), "{}", answer.body);
    assert!(!answer.body.contains("\nhost: "), "{}", answer.body);
}
