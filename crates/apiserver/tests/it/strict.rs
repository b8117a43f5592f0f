//! `fieldValidation`: what is there twice or is not known is refused, warned of, or passed over.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer};

const TWICE: &str = r#"{
    "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "a", "name": "NAME"},
    "spec": {"template": {"spec": {
        "containers": [{"image": "example.com/old", "image": "example.com/new", "colour": "red"}],
        "timeoutSeconds": 1, "timeoutSeconds": 2
    }}}
}"#;
const ALL: &str = "duplicate field \"metadata.name\", duplicate field \"spec.template.spec.containers[0].image\", duplicate field \
                   \"spec.template.spec.timeoutSeconds\", unknown field \"spec.template.spec.containers[0].colour\"";

async fn send(
    server: &Server,
    method: Method,
    path: &str,
    media_type: &str,
    body: String,
) -> Response {
    let request = server.client.request(method, server.url(path));
    let request = request.header("content-type", media_type).body(body);
    request.send().await.unwrap()
}

fn warnings(response: &Response) -> Vec<String> {
    let headers = response.headers().get_all("warning").iter();
    headers
        .map(|it| it.to_str().unwrap().replace("\\\"", "\""))
        .collect()
}

#[tokio::test]
async fn fields_that_are_there_twice_are_refused_warned_of_or_the_last_counts() {
    let server = Server::start().await;
    let post = |validation: &str, name: &str| {
        let path = format!("{SERVICES}?{validation}");
        let body = TWICE.replace("NAME", name);
        let server = &server;
        async move { send(server, Method::POST, &path, "application/json", body).await }
    };
    let (code, status) = answer(post("fieldValidation=Strict", "b").await).await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        format!(
            "Service in version \"v1\" cannot be handled as a Service: strict decoding error: {ALL}"
        )
    );
    for (validation, name) in [("fieldValidation=Warn", "c"), ("", "d")] {
        let warned = post(validation, name).await;
        let expected: Vec<String> = ALL
            .split(", ")
            .map(|it| format!("299 - \"{it}\""))
            .collect();
        assert_eq!(warnings(&warned), expected);
        let (code, object) = answer(warned).await;
        assert_eq!((code, &object["metadata"]["name"]), (201, &json!(name)));
        let spec = &object["spec"]["template"]["spec"];
        assert_eq!(
            (&spec["timeoutSeconds"], &spec["containers"][0]["image"]),
            (&json!(2), &json!("example.com/new"))
        );
    }
    let ignored = post("fieldValidation=Ignore", "e").await;
    assert_eq!(
        (ignored.status().as_u16(), warnings(&ignored).len()),
        (201, 0)
    );
}

#[tokio::test]
async fn patches_and_yaml_are_looked_at_as_well() {
    let server = Server::start().await;
    let object = server.create("a").await;
    let one = format!("{SERVICES}/a");
    let yaml = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  name: a\n  labels: {x: one, x: two}\n";
    let replaced = |text: &str| {
        let version = object["metadata"]["resourceVersion"].as_str().unwrap();
        format!(
            "{text}  resourceVersion: \"{version}\"\nspec: {}\n",
            object["spec"]
        )
    };
    let cases: [(Method, &str, String, &str); 5] = [
        (
            Method::PUT,
            "application/yaml",
            replaced(yaml),
            "metadata.labels.x",
        ),
        (
            Method::PATCH,
            "application/apply-patch+yaml",
            yaml.to_owned(),
            "metadata.labels.x",
        ),
        (
            Method::PATCH,
            "application/merge-patch+json",
            r#"{"metadata": {"labels": {"x": "one", "x": "two"}}}"#.to_owned(),
            "metadata.labels.x",
        ),
        (
            Method::PATCH,
            "application/json-patch+json",
            r#"[{"op": "test", "op": "add", "path": "/metadata/labels/x", "value": "two"}]"#
                .to_owned(),
            "[0].op",
        ),
        (
            Method::POST,
            "application/yaml",
            yaml.replace("name: a", "name: z") + &format!("spec: {}\n", object["spec"]),
            "metadata.labels.x",
        ),
    ];
    for (method, media_type, body, field) in cases {
        let path = match method {
            Method::POST => SERVICES,
            _ => &one,
        };
        let send = |validation: &str| {
            let path = format!("{path}?fieldManager=me&dryRun=All&fieldValidation={validation}");
            let (server, method, body) = (&server, method.clone(), body.clone());
            async move { send(server, method, &path, media_type, body).await }
        };
        let (code, status) = answer(send("Strict").await).await;
        assert_eq!(code, 400, "{media_type}: {status}");
        let message = status["message"].as_str().unwrap();
        assert!(
            message.ends_with(&format!("strict decoding error: duplicate field {field:?}")),
            "{message}"
        );
        let warned = send("Warn").await;
        assert_eq!(
            warnings(&warned),
            [format!("299 - \"duplicate field {field:?}\"")],
            "{media_type}"
        );
        let (code, made) = answer(warned).await;
        assert!(code < 300, "{media_type}: {made}");
        assert_eq!(made["metadata"]["labels"]["x"], "two", "{media_type}");
        let ignored = send("Ignore").await;
        assert_eq!(warnings(&ignored).len(), 0, "{media_type}");
        assert!(ignored.status().is_success(), "{media_type}");
    }
    assert_eq!(
        server.get(&one).await.1["metadata"]["labels"]["x"],
        Value::Null
    );
}
