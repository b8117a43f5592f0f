//! Bodies as Go clients send them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer};

const NAMESPACE: &[u8] = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1c\n\x14\n\x04team\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0";
const SECRET: &[u8] = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\x1d\n\x11\n\x01s\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\x1a\0\"\0";
const CONFIG_MAP: &[u8] = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01c\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\"\0";
/// `DeleteOptions` with `propagationPolicy: Background` and `dryRun: [All]`.
const DRY_DELETION: &[u8] = b"k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x11\"\nBackground*\x03All";

async fn send(server: &Server, method: Method, path: &str, body: &'static [u8]) -> (u16, Value) {
    let request = server
        .client
        .request(method, server.url(path))
        .header("content-type", "application/vnd.kubernetes.protobuf")
        .header(
            "accept",
            "application/vnd.kubernetes.protobuf,application/json",
        );
    answer(request.body(body).send().await.unwrap()).await
}

#[tokio::test]
async fn what_kubectl_creates_and_deletes_as_messages_is_answered_in_json() {
    let server = Server::start().await;
    let namespaces = "/api/v1/namespaces";
    let (code, made) = send(&server, Method::POST, namespaces, NAMESPACE).await;
    assert_eq!((code, &made["status"]["phase"]), (201, &json!("Active")));
    let secrets = format!("{namespaces}/team/secrets");
    let (code, made) = send(&server, Method::POST, &secrets, SECRET).await;
    assert_eq!(
        (code, &made["data"], &made["type"]),
        (201, &json!({"a": "Yg=="}), &json!("Opaque"))
    );
    let maps = format!("{namespaces}/team/configmaps");
    let (code, made) = send(&server, Method::POST, &maps, CONFIG_MAP).await;
    assert_eq!((code, &made["data"]), (201, &json!({"a": "b"})));
    let one = format!("{maps}/c");
    let (code, _) = send(&server, Method::DELETE, &one, DRY_DELETION).await;
    assert_eq!((code, server.get(&one).await.0), (200, 200), "dry");
    let (code, status) = send(&server, Method::DELETE, &one, b"").await;
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    server.create("a").await;
    let service = format!("{SERVICES}/a");
    let (code, _) = send(&server, Method::DELETE, &service, DRY_DELETION).await;
    assert_eq!(code, 200, "options are not of the group");
}

#[tokio::test]
async fn messages_that_are_none_are_refused_with_a_status() {
    let server = Server::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let cases: [(Method, &str, &[u8], u16, &str); 6] = [
        (Method::POST, maps, b"{}", 400, "expected prefix"),
        (Method::POST, maps, b"k8s\0\xff", 400, "cannot decode"),
        (
            Method::POST,
            maps,
            NAMESPACE,
            400,
            "does not match the expected kind (ConfigMap)",
        ),
        (Method::POST, SERVICES, CONFIG_MAP, 415, "unknown format"),
        (
            Method::PATCH,
            &format!("{maps}/c"),
            CONFIG_MAP,
            415,
            "unknown format",
        ),
        (
            Method::DELETE,
            &format!("{maps}/c"),
            b"k8s\0\x0a",
            400,
            "cannot decode",
        ),
    ];
    for (method, path, body, code, why) in cases {
        let (found, status) = send(&server, method, path, body).await;
        assert_eq!(
            (found, &status["kind"]),
            (code, &json!("Status")),
            "{status}"
        );
        let message = status["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
}
