//! Lists in pieces, and lists of the past.

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_show_one_moment_whatever_is_written_between_them() {
    let server = Server::start().await;
    for name in ["a", "b", "c", "d"] {
        server.create(name).await;
    }
    let (_, first) = server.get(&format!("{SERVICES}?limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);

    server.create("cc").await;
    server
        .send(Method::DELETE, &format!("{SERVICES}/d"), &json!({}))
        .await;
    let relabel = json!({"metadata": {"labels": {"color": "red"}}});
    server
        .send(Method::PATCH, &format!("{SERVICES}/c"), &relabel)
        .await;

    let token = first["metadata"]["continue"].as_str().unwrap();
    let (code, second) = server
        .get(&format!("{SERVICES}?limit=2&continue={token}"))
        .await;
    assert_eq!((code, names(&second)), (200, vec!["c", "d"]));
    assert_eq!(
        second["items"][0]["metadata"]["labels"]["color"],
        Value::Null
    );
    assert_eq!(second["metadata"]["continue"], Value::Null);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );

    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("{SERVICES}?resourceVersion={version}&resourceVersionMatch=Exact");
    assert_eq!(names(&server.get(&exact).await.1), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_token_that_is_none_or_too_old_is_refused() {
    let server = Server::start().await;
    for name in ["a", "b"] {
        server.create(name).await;
    }
    let (code, status) = server.get(&format!("{SERVICES}?continue=x")).await;
    assert_eq!(
        (code, &status["message"]),
        (400, &json!("continue key is not valid"))
    );
    // A token of the time before the log began, which is what there is after a restart.
    let old = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"rv":0,"after":"a"}"#);
    let (code, status) = server.get(&format!("{SERVICES}?continue={old}")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}
