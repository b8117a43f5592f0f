//! The line of the log for each write.

use std::{
    io,
    sync::{Arc, Mutex},
};

use apiserver::auth::{Role, Users};
use axum::{Router, routing::post};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, strangers_client};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Verb, object, code and whether it was dry of each.
    fn read(&self) -> Vec<(String, String, u64, bool)> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let line = |line: &str| {
            let fields = serde_json::from_str::<Value>(line).unwrap()["fields"].clone();
            let text = |name: &str| fields[name].as_str().unwrap().to_owned();
            (
                text("verb"),
                text("object"),
                fields["code"].as_u64().unwrap(),
                fields["dry_run"].as_bool().unwrap(),
            )
        };
        text.lines().map(line).collect()
    }
}

#[tokio::test]
async fn every_write_is_in_the_log_once_whoever_answers_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .with_env_filter("audit=info")
        .with_writer(move || writer.clone())
        .finish();
    // The server's tasks run on this thread.
    let _log = tracing::subscriber::set_default(log);
    let beside = "/apis/example.com/v1/things";
    let routes = Router::new().route(beside, post(|| async { "made" }));
    let server = Server::with(Vec::new(), routes).await;
    server.create("a").await;
    let one = format!("{SERVICES}/a");
    server.get(&one).await;
    let made = server.client.post(server.url(beside)).send().await.unwrap();
    assert_eq!(made.status(), 200);
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let whoami = json!({"kind": "SelfSubjectReview"});
    assert_eq!(server.send(Method::POST, review, &whoami).await.0, 201);
    let dry = json!({"dryRun": ["All"]});
    assert_eq!(server.send(Method::DELETE, &one, &dry).await.0, 200);
    let path = format!("{one}?dryRun=All");
    assert_eq!(server.send(Method::DELETE, &path, &json!({})).await.0, 200);
    let users = Users::under(&server.folder.path().join("pki"));
    let token = users.issue("ada", Role::Viewer).unwrap();
    let viewer = strangers_client(&server.pki).build().unwrap();
    let refused = viewer.delete(server.url(&one)).bearer_auth(token);
    assert_eq!(refused.send().await.unwrap().status(), 403);
    assert_eq!(server.send(Method::DELETE, &one, &json!({})).await.0, 200);
    let line =
        |verb: &str, object: &str, code, dry| (verb.to_owned(), object.to_owned(), code, dry);
    assert_eq!(
        lines.read(),
        [
            line("create", SERVICES, 201, false),
            line("create", beside, 200, false),
            line("delete", &one, 200, true),
            line("delete", &one, 200, true),
            line("delete", &one, 403, false),
            line("delete", &one, 200, false),
        ]
    );
}
