//! What the API server counts.

use std::collections::BTreeMap;

use apiserver::store::Options;
use reqwest::Method;
use serde_json::json;

use crate::{
    inside::Inside,
    server::{SERVICES, Server},
};

/// Names with labels, and values.
async fn counted(server: &Server) -> BTreeMap<String, String> {
    let answer = server
        .client
        .get(server.url("/metrics"))
        .send()
        .await
        .unwrap();
    let media_type = answer.headers()["content-type"].to_str().unwrap();
    assert!(
        media_type.starts_with("application/openmetrics-text"),
        "{media_type}"
    );
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn requests_objects_and_commits_are_counted() {
    let server = Server::start().await;
    server.create("a").await;
    server.create("b").await;
    server.get(&format!("{SERVICES}/absent")).await;
    server.get("/apis/example.com/v1/things/x").await;
    server.get("/apis/example.com/v1/other/y").await;
    server
        .send(Method::DELETE, &format!("{SERVICES}/b"), &json!({}))
        .await;
    let counted = counted(&server).await;
    let services = "group=\"serving.knative.dev\",resource=\"services\"";
    let request = |verb: &str, labels: &str, code: u16| {
        let name = format!(
            "apiserver_request_total{{verb=\"{verb}\",{labels},subresource=\"\",code=\"{code}\"}}"
        );
        counted.get(&name).map(String::as_str)
    };
    assert_eq!(request("CREATE", services, 201), Some("2"));
    assert_eq!(request("GET", services, 404), Some("1"));
    assert_eq!(request("DELETE", services, 200), Some("1"));
    let unknown = "group=\"\",resource=\"unknown\"";
    assert_eq!(
        request("GET", unknown, 404),
        Some("2"),
        "what is not served is one"
    );
    let durations =
        format!("apiserver_request_duration_seconds_count{{verb=\"CREATE\",{services}}}");
    assert_eq!(counted[&durations], "2");
    assert_eq!(
        counted["apiserver_storage_objects{resource=\"services.serving.knative.dev\"}"],
        "1"
    );
    assert_eq!(
        counted["apiserver_storage_objects{resource=\"namespaces\"}"],
        "3"
    );
    assert_eq!(
        counted["vhive_store_resource_version"],
        server.store.resource_version().to_string()
    );
    let commits: u32 = counted["vhive_store_commit_duration_seconds_count"]
        .parse()
        .unwrap();
    assert!((1..=6).contains(&commits), "{commits}");
    let resident: u64 = counted["process_resident_memory_bytes"].parse().unwrap();
    assert!(resident > 1 << 20);
    let cpu: f64 = counted["process_cpu_seconds_total"].parse().unwrap();
    assert!(cpu > 0.0);
}

#[tokio::test]
async fn watches_are_counted_while_they_are_open_and_by_their_events() {
    let server = Server::start().await;
    server.create("a").await;
    let mut watch = server
        .client
        .get(server.url(&format!("{SERVICES}?watch=true")))
        .send()
        .await
        .unwrap();
    server.create("b").await;
    let mut lines = 0;
    while lines < 2 {
        let piece = watch.chunk().await.unwrap().unwrap();
        lines += piece.split(|byte| *byte == b'\n').count() - 1;
    }
    let services = "{resource=\"services.serving.knative.dev\"}";
    let open = format!("apiserver_registered_watchers{services}");
    let during = counted(&server).await;
    assert_eq!(during[&open], "1");
    assert_eq!(
        during[&format!("apiserver_watch_events_total{services}")],
        "2"
    );
    let timed = during
        .keys()
        .filter(|name| name.contains("duration") && name.contains("WATCH"));
    assert_eq!(timed.count(), 0, "a watch has no end of its own");
    server.shutdown.cancel();
    while watch.chunk().await.unwrap().is_some() {}
    drop(watch);
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_watch_that_nobody_has_any_more_is_not_open() {
    let inside = Inside::new(Options::default()).await;
    let open = "apiserver_registered_watchers{resource=\"services.serving.knative.dev\"}";
    let watch = inside.watch(&format!("{SERVICES}?watch=true")).await;
    assert!(
        inside
            .text("/metrics")
            .await
            .contains(&format!("{open} 1\n"))
    );
    drop(watch);
    assert!(
        inside
            .text("/metrics")
            .await
            .contains(&format!("{open} 0\n"))
    );
}
