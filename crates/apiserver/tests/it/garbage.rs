//! Owners, dependents and finalizers, through the API.

use apiserver::Store;
use apiserver::store::EventKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, service};

/// A service that belongs to `owner`.
async fn owned(server: &Server, name: &str, owner: &Value) -> Value {
    let mut object = service(name);
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
    }]);
    let (code, object) = server.send(Method::POST, SERVICES, &object).await;
    assert_eq!(code, 201, "{object}");
    object
}

/// Names of services as they are deleted, until `count` are.
async fn deletions(server: &Server, from: u64, count: usize) -> Vec<String> {
    let mut watch = server.store.watch(None, None, from).unwrap();
    let mut names = Vec::new();
    while names.len() < count {
        for event in watch.next().await.unwrap() {
            if event.kind == EventKind::Deleted {
                names.push(event.object.key().name().to_owned());
            }
        }
    }
    names
}

async fn delete(server: &Server, name: &str, policy: &str) -> Value {
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy, "gracePeriodSeconds": 5});
    let path = format!("{SERVICES}/{name}");
    let (code, answer) = server.send(Method::DELETE, &path, &options).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

#[tokio::test]
async fn in_the_background_an_owner_goes_first() {
    let server = Server::start().await;
    let a = server.create("a").await;
    let b = owned(&server, "b", &a).await;
    owned(&server, "c", &b).await;
    let from = server.store.resource_version();
    let answer = delete(&server, "a", "Background").await;
    assert_eq!(answer["status"], "Success");
    assert_eq!(deletions(&server, from, 3).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn in_the_foreground_an_owner_goes_last() {
    let server = Server::start().await;
    let a = server.create("a").await;
    let b = owned(&server, "b", &a).await;
    owned(&server, "c", &b).await;
    let from = server.store.resource_version();
    let answer = delete(&server, "a", "Foreground").await;
    assert_eq!(
        answer["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    assert!(answer["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(deletions(&server, from, 3).await, ["c", "b", "a"]);
}

#[tokio::test]
async fn an_orphan_stays_and_has_no_owner() {
    let server = Server::start().await;
    let a = server.create("a").await;
    owned(&server, "b", &a).await;
    let from = server.store.resource_version();
    delete(&server, "a", "Orphan").await;
    assert_eq!(deletions(&server, from, 1).await, ["a"]);
    let (code, b) = server.get(&format!("{SERVICES}/b")).await;
    assert_eq!(
        (code, &b["metadata"]["deletionTimestamp"]),
        (200, &Value::Null)
    );
    assert_eq!(b["metadata"].get("ownerReferences"), None, "{b}");
}

/// Writes the status of whatever changes, again and again, as a controller does that has much to tell.
async fn tell_much(store: Store) {
    let mut watch = store.watch(None, None, store.resource_version()).unwrap();
    let mut told = 0;
    while let Ok(events) = watch.next().await {
        let changed = events.iter().filter(|it| it.kind != EventKind::Deleted);
        for object in changed.filter_map(|it| store.get(it.object.key())) {
            told += 1;
            let mut value = object.value();
            value["status"] = json!({"observedGeneration": told});
            // Another was faster, or it is gone.
            let _ = store.update_status(object.key(), value).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_writes_all_the_time_does_not_keep_an_owner_from_going() {
    let server = Server::start().await;
    let controller = tokio::spawn(tell_much(server.store.clone()));
    // One after the other: what becomes of one family has no other looked at.
    for _ in 0..20 {
        let owner = server.create("owner").await;
        let child = owned(&server, "child", &owner).await;
        owned(&server, "grandchild", &child).await;
        let from = server.store.resource_version();
        delete(&server, "owner", "Foreground").await;
        assert_eq!(
            deletions(&server, from, 3).await,
            ["grandchild", "child", "owner"]
        );
    }
    controller.abort();
}
