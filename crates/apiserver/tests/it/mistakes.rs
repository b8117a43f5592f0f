//! What servers that speak this API often get wrong.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api_watch::Events,
    server::{SERVICES, Server, answer},
};

#[tokio::test]
async fn nothing_is_refused_in_plain_text() {
    let server = Server::start().await;
    server.create("a").await;
    let one = format!("{SERVICES}/a");
    let cases = [
        (Method::GET, "/", 404),
        (Method::GET, "/nothing", 404),
        (Method::GET, "/healthz/nothing", 404),
        (Method::GET, "/api/v2", 404),
        (Method::GET, "/apis/serving.knative.dev/v2/services", 404),
        (Method::GET, "/apis/serving.knative.dev/v1/nothing", 404),
        (Method::GET, &format!("{one}/scale"), 404),
        (Method::GET, "/openapi/v3/apis/example.com/v1", 404),
        (Method::POST, "/openapi/v3", 405),
        (Method::POST, "/healthz", 405),
        (Method::DELETE, "/version", 405),
        (Method::PUT, "/metrics", 405),
        (
            Method::GET,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            405,
        ),
        (Method::POST, &one, 405),
        (Method::PUT, SERVICES, 405),
        (Method::PATCH, SERVICES, 405),
        (Method::DELETE, "/apis/serving.knative.dev/v1/services", 405),
        (Method::DELETE, "/api/v1/namespaces", 405),
        (Method::OPTIONS, &one, 405),
        (Method::from_bytes(b"BREW").unwrap(), &one, 405),
        (Method::DELETE, &format!("{one}/status"), 405),
    ];
    for (method, path, code) in cases {
        let request = server.client.request(method.clone(), server.url(path));
        let response = request.send().await.unwrap();
        assert_eq!(
            response.headers()["content-type"],
            "application/json",
            "{method} {path}"
        );
        let (found, status) = answer(response).await;
        assert_eq!(found, code, "{method} {path}: {status}");
        let reason = if code == 404 {
            "NotFound"
        } else {
            "MethodNotAllowed"
        };
        assert_eq!(
            (&status["kind"], &status["apiVersion"], &status["status"]),
            (&json!("Status"), &json!("v1"), &json!("Failure"))
        );
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(code), &json!(reason))
        );
    }
}

/// `kn` waits for a deletion so: the event must come, long before the watch's time is over, and the stream must stay open.
#[tokio::test]
async fn a_watch_of_one_name_is_told_of_its_deletion_and_goes_on() {
    let server = Server::start().await;
    server.create("a").await;
    server.create("b").await;
    let mut events = Events::open(
        &server,
        "&fieldSelector=metadata.name%3Da&timeoutSeconds=3600",
    )
    .await;
    let first = events.next().await.unwrap();
    assert_eq!(first["type"], "ADDED");
    for name in ["b", "a"] {
        let one = format!("{SERVICES}/{name}");
        assert_eq!(server.send(Method::DELETE, &one, &json!({})).await.0, 200);
    }
    let deleted = events.next().await.unwrap();
    assert_eq!(
        (&deleted["type"], &deleted["object"]["metadata"]["name"]),
        (&json!("DELETED"), &json!("a"))
    );
    assert_eq!(
        deleted["object"]["metadata"]["uid"],
        first["object"]["metadata"]["uid"]
    );
    server.create("a").await;
    assert_eq!(
        events.next().await.unwrap()["type"],
        "ADDED",
        "the stream is still there"
    );
}

/// Whoever comes late is told what has happened, and not only what happens next.
#[tokio::test]
async fn a_watch_replays_what_happened_since_its_version() {
    let server = Server::start().await;
    let from = server.store.resource_version();
    server.create("a").await;
    assert_eq!(
        server
            .send(Method::DELETE, &format!("{SERVICES}/a"), &json!({}))
            .await
            .0,
        200
    );
    let mut events = Events::open(&server, &format!("&resourceVersion={from}")).await;
    let mut kinds: Vec<Value> = Vec::new();
    while kinds.len() < 2 {
        kinds.push(events.next().await.unwrap()["type"].clone());
    }
    assert_eq!(kinds, ["ADDED", "DELETED"]);
}

#[tokio::test]
async fn who_writes_a_status_owns_it_under_the_subresource() {
    let server = Server::start().await;
    server.create("a").await;
    let status = format!("{SERVICES}/a/status?fieldManager=controller");
    let patch = json!({"status": {"url": "http://a.example.com"}});
    let (code, object) = server.send(Method::PATCH, &status, &patch).await;
    assert_eq!(code, 200);
    let owners = object["metadata"]["managedFields"].as_array().unwrap();
    let entry = owners
        .iter()
        .find(|it| it["manager"] == "controller")
        .unwrap();
    assert_eq!(
        (
            &entry["subresource"],
            &entry["operation"],
            &entry["fieldsV1"]
        ),
        (
            &json!("status"),
            &json!("Update"),
            &json!({"f:status": {"f:url": {}}})
        )
    );
    assert_eq!(owners.len(), 2, "who made it owns the rest");
    let (_, again) = server.send(Method::PATCH, &status, &patch).await;
    assert_eq!(again, object, "what changes nothing is no write");
    // A write of the rest leaves it.
    let edit = json!({"metadata": {"labels": {"x": "y"}}});
    let (_, edited) = server
        .send(Method::PATCH, &format!("{SERVICES}/a"), &edit)
        .await;
    let owners = edited["metadata"]["managedFields"].as_array().unwrap();
    assert!(owners.contains(entry), "{owners:?}");
}
