//! `ConfigMaps` and Secrets, as clients write them.

use http::header::CONTENT_TYPE;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer};

const CORE: &str = "/api/v1/namespaces/default";

impl Server {
    /// The patch that `kubectl apply` makes of what it was built with.
    async fn patch_strategically(&self, path: &str, change: &Value) -> (u16, Value) {
        let request = self.client.patch(self.url(path)).body(change.to_string());
        let request = request.header(CONTENT_TYPE, "application/strategic-merge-patch+json");
        answer(request.send().await.unwrap()).await
    }
}

#[tokio::test]
async fn a_config_map_is_applied_again_as_kubectl_does_it_and_a_custom_resource_is_not() {
    let server = Server::start().await;
    let map = json!({"metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}});
    let (code, created) = server
        .send(Method::POST, &format!("{CORE}/configmaps"), &map)
        .await;
    assert_eq!(code, 201, "{created}");
    let change = json!({"data": {"a": null, "c": "3"}, "metadata": {"finalizers": ["x/y"]}});
    let path = format!("{CORE}/configmaps/c");
    let (code, patched) = server.patch_strategically(&path, &change).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["data"], json!({"b": "2", "c": "3"}));
    assert_eq!(patched["metadata"]["finalizers"], json!(["x/y"]));

    server.create("a").await;
    let (code, refused) = server
        .patch_strategically(&format!("{SERVICES}/a"), &json!({}))
        .await;
    assert_eq!(
        (code, &refused["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );
}

#[tokio::test]
async fn texts_of_a_secret_become_bytes_and_are_in_no_refusal() {
    let server = Server::start().await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"token": "s3cret"}});
    let path = format!("{CORE}/secrets");
    let (code, created) = server.send(Method::POST, &path, &secret).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["data"], json!({"token": "czNjcmV0"}));
    assert_eq!(created["stringData"], Value::Null);
    let one = format!("{path}/s");
    let change = json!({"stringData": {"token": "0ther"}, "immutable": true});
    let (code, patched) = server.patch_strategically(&one, &change).await;
    assert_eq!(
        (code, &patched["data"]["token"]),
        (200, &json!("MHRoZXI=")),
        "{patched}"
    );
    for change in [
        json!({"stringData": {"token": "s3cret"}}),
        json!({"data": {"token": "s3cret!"}}),
    ] {
        let (code, refused) = server.patch_strategically(&one, &change).await;
        assert!(matches!(code, 400 | 422), "{refused}");
        let text = refused.to_string();
        let leaks = ["s3cret", "czNjcmV0", "MHRoZXI"]
            .iter()
            .any(|it| text.contains(it));
        assert!(!leaks, "{text}");
    }
}
