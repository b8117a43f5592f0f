//! Server-side apply, through the API.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer, service};

async fn apply(server: &Server, query: &str, body: &str) -> (u16, Value) {
    let request = server
        .client
        .patch(server.url(&format!("{SERVICES}/a?{query}")))
        .header("content-type", "application/apply-patch+yaml");
    answer(request.body(body.to_owned()).send().await.unwrap()).await
}

fn config(image: &str, label: &str) -> String {
    format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: a, labels: {{{label}: x}}}}\nspec: {{template: {{spec: \
         {{containers: [{{image: {image}}}]}}}}}}\n"
    )
}

#[tokio::test]
async fn an_applied_object_is_made_kept_and_fought_over() {
    let server = Server::start().await;
    let (code, made) = apply(&server, "fieldManager=me", &config("example.com/x", "one")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["spec"]["template"]["spec"]["containers"][0]["name"],
        "user-container"
    );
    let owner = &made["metadata"]["managedFields"][0];
    assert_eq!(
        (&owner["manager"], &owner["operation"]),
        (&json!("me"), &json!("Apply"))
    );

    let (code, again) = apply(&server, "fieldManager=me", &config("example.com/x", "one")).await;
    assert_eq!((code, &again), (200, &made), "nothing is written");

    let (code, status) = apply(&server, "fieldManager=you", &config("example.com/y", "two")).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        status["details"]["causes"],
        json!([{
            "reason": "FieldManagerConflict", "message": "conflict with \"me\"",
            "field": ".spec.template.spec.containers[name=\"user-container\"].image",
        }])
    );

    let forced = apply(
        &server,
        "fieldManager=you&force=true",
        &config("example.com/y", "two"),
    )
    .await;
    assert_eq!(forced.0, 200, "{}", forced.1);
    assert_eq!(
        forced.1["metadata"]["labels"],
        json!({"one": "x", "two": "x"})
    );
    assert_eq!(forced.1["metadata"]["generation"], 2);

    let dropped = apply(
        &server,
        "fieldManager=you",
        &config("example.com/y", "three"),
    )
    .await;
    assert_eq!(
        dropped.1["metadata"]["labels"],
        json!({"one": "x", "three": "x"})
    );
}

#[tokio::test]
async fn other_writes_own_fields_too() {
    let server = Server::start().await;
    let path = format!("{SERVICES}?fieldManager=creator");
    let (_, made) = server.send(Method::POST, &path, &service("a")).await;
    let owner = &made["metadata"]["managedFields"][0];
    assert_eq!(
        (&owner["manager"], &owner["operation"]),
        (&json!("creator"), &json!("Update"))
    );
    let (code, status) = apply(&server, "fieldManager=me", &config("example.com/x", "one")).await;
    assert_eq!(code, 409, "{status}");
    assert_eq!(
        status["message"],
        "Apply failed with 1 conflict: conflict with \"creator\" using serving.knative.dev/v1: \
         .spec.template.spec.containers[name=\"user-container\"].image"
    );
}

#[tokio::test]
async fn an_apply_says_who_applies_and_leaves_no_trace_when_it_is_dry() {
    let server = Server::start().await;
    let (code, status) = apply(&server, "", &config("example.com/x", "one")).await;
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    let (code, _) = apply(
        &server,
        "fieldManager=me&dryRun=All",
        &config("example.com/x", "one"),
    )
    .await;
    assert_eq!(code, 201);
    assert_eq!(server.get(&format!("{SERVICES}/a")).await.0, 404);
    let strict = config("example.com/x", "one").replace("image:", "picture: x, image:");
    let (code, status) = apply(&server, "fieldManager=me&fieldValidation=Strict", &strict).await;
    assert_eq!(code, 400, "{status}");
}
