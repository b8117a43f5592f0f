//! Watches over HTTP.

use bytes::{Buf, BytesMut};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer};

/// Events of a watch, one by one.
pub(crate) struct Events {
    response: Response,
    buffer: BytesMut,
}

impl Events {
    pub(crate) async fn open(server: &Server, query: &str) -> Self {
        Self::of(server, SERVICES, query).await
    }

    async fn of(server: &Server, path: &str, query: &str) -> Self {
        let url = server.url(&format!("{path}?watch=true{query}"));
        let response = server.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            response,
            buffer: BytesMut::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The next event as kind and name.
    async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["type"]),
            text(&event["object"]["metadata"]["name"]),
        )
    }
}

fn brief(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn label(server: &Server, name: &str, color: &str) -> Value {
    let patch = json!({"metadata": {"labels": {"color": color}}});
    let (code, object) = server
        .send(Method::PATCH, &format!("{SERVICES}/{name}"), &patch)
        .await;
    assert_eq!(code, 200);
    object
}

#[tokio::test]
async fn a_watch_replays_from_a_version_and_goes_on() {
    let server = Server::start().await;
    let first = server.create("a").await;
    server.create("b").await;
    let query = format!("&resourceVersion={}", version(&first));
    // The same old version can be used again and again.
    for _ in 0..2 {
        let mut events = Events::open(&server, &query).await;
        assert_eq!(events.brief().await, brief("ADDED", "b"));
    }
    let mut events = Events::open(&server, &query).await;
    assert_eq!(events.brief().await, brief("ADDED", "b"));
    label(&server, "a", "red").await;
    assert_eq!(events.brief().await, brief("MODIFIED", "a"));
    server
        .send(Method::DELETE, &format!("{SERVICES}/a"), &json!({}))
        .await;
    let deleted = events.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(
        version(&deleted["object"]),
        server.store.resource_version().to_string()
    );
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let server = Server::start().await;
    server.create("a").await;
    for query in ["", "&resourceVersion=0"] {
        let mut events = Events::open(&server, query).await;
        assert_eq!(events.brief().await, brief("ADDED", "a"));
    }
    let query =
        "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut events = Events::open(&server, query).await;
    assert_eq!(events.brief().await, brief("ADDED", "a"));
    let end = events.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(
        end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(
        version(&end["object"]),
        server.store.resource_version().to_string()
    );
}

#[tokio::test]
async fn objects_come_and_go_as_their_labels_match() {
    let server = Server::start().await;
    let first = server.create("a").await;
    let query = format!(
        "&labelSelector=color%3Dred&resourceVersion={}",
        version(&first)
    );
    let mut events = Events::open(&server, &query).await;
    for color in ["blue", "red", "red2", "red"] {
        label(&server, "a", color).await;
    }
    server
        .send(Method::DELETE, &format!("{SERVICES}/a"), &json!({}))
        .await;
    for kind in ["ADDED", "DELETED", "ADDED", "DELETED"] {
        assert_eq!(events.brief().await, brief(kind, "a"));
    }
}

#[tokio::test]
async fn a_watch_of_one_name_sees_no_other() {
    let server = Server::start().await;
    let query = format!(
        "&fieldSelector=metadata.name%3Db&resourceVersion={}",
        server.store.resource_version()
    );
    let mut events = Events::open(&server, &query).await;
    server.create("a").await;
    server.create("b").await;
    assert_eq!(events.brief().await, brief("ADDED", "b"));
}

#[tokio::test]
async fn objects_come_and_go_as_their_fields_match() {
    let server = Server::start().await;
    let path = "/api/v1/namespaces";
    let made =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let hold = json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}});
    let (_, first) = server.send(Method::POST, path, &hold).await;
    let query = format!(
        "&fieldSelector=status.phase%3DActive&resourceVersion={}",
        version(&first)
    );
    let mut events = Events::of(&server, path, &query).await;
    let (code, _) = server
        .send(Method::DELETE, &format!("{path}/a"), &json!({}))
        .await;
    assert_eq!(code, 200);
    server.send(Method::POST, path, &made("b")).await;
    assert_eq!(events.brief().await, brief("DELETED", "a"));
    assert_eq!(events.brief().await, brief("ADDED", "b"));
}

#[tokio::test]
async fn a_watch_may_ask_for_an_end_that_never_comes() {
    let server = Server::start().await;
    server.create("a").await;
    let query = format!("&timeoutSeconds={}", u64::MAX);
    let mut events = Events::open(&server, &query).await;
    assert_eq!(events.brief().await, brief("ADDED", "a"));
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_with_a_bookmark() {
    let server = Server::start().await;
    server.create("a").await;
    let query = "&timeoutSeconds=1&allowWatchBookmarks=true";
    let mut events = Events::open(&server, query).await;
    assert_eq!(events.brief().await, brief("ADDED", "a"));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        version(&bookmark["object"]),
        server.store.resource_version().to_string()
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_version_that_is_gone_is_410() {
    let server = Server::start().await;
    server.create("a").await;
    // The log does not reach behind the last start.
    let url = server.url(&format!("{SERVICES}?watch=true&resourceVersion=0"));
    assert_eq!(
        server.client.get(url).send().await.unwrap().status(),
        200,
        "0 is any version"
    );
    let folder = server.folder;
    server.shutdown.cancel();
    server.task.await.unwrap();
    drop(server.store);

    let store = apiserver::Store::open(&folder.path().join("store.redb")).unwrap();
    let metrics = apiserver::Metrics::new(&store);
    let router = apiserver::router(apiserver::Config {
        metrics: metrics.clone(),
        store,
        admission: std::sync::Arc::new(api::admit_by),
        elsewhere: Vec::new(),
        views: apiserver::Views::new(
            Vec::new(),
            apiserver::store::Memory::new(jiff::Timestamp::now()),
        ),
        shutdown: tokio_util::sync::CancellationToken::new(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    tokio::spawn(apiserver::serve(
        listener,
        apiserver::Server {
            router,
            authenticator: None,
            metrics,
        },
        shutdown.clone(),
        std::time::Duration::ZERO,
    ));
    let url = format!("http://{address}{SERVICES}?watch=true&resourceVersion=1");
    let (code, status) = answer(server.client.get(url).send().await.unwrap()).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    shutdown.cancel();
}

#[tokio::test]
async fn a_watch_of_tables_names_the_columns_once() {
    let server = Server::start().await;
    server.create("a").await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let url = server.url(&format!("{SERVICES}?watch=true"));
    let response = server
        .client
        .get(url)
        .header("accept", accept)
        .send()
        .await
        .unwrap();
    let mut events = Events {
        response,
        buffer: BytesMut::new(),
    };
    let first = events.next().await.unwrap();
    assert_eq!(
        first["object"]["columnDefinitions"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    label(&server, "a", "red").await;
    let second = events.next().await.unwrap();
    assert_eq!(
        (&second["type"], &second["object"]["rows"][0]["cells"][0]),
        (&json!("MODIFIED"), &json!("a"))
    );
    assert_eq!(second["object"]["columnDefinitions"], json!([]));
}
