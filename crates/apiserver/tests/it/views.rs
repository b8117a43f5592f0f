//! Resources that are views of what runs, over HTTP.

use std::sync::{Arc, Mutex};

use api::Resource;
use apiserver::{Refused, View, store::Key};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::server::{Server, answer};

const fn core(
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
) -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind,
        plural,
        singular: "",
        short_names,
        namespaced: true,
    }
}

const POD: Resource = core("Pod", "pods", &["po"]);
const EVENT: Resource = core("Event", "events", &["ev"]);
const PODS: &str = "/api/v1/namespaces/default/pods";
const EVENTS: &str = "/api/v1/namespaces/default/events";

/// What was asked to be ended.
type Ended = Arc<Mutex<Vec<(String, Option<u64>)>>>;

async fn server() -> (Server, Ended) {
    let ended = Ended::default();
    let note = ended.clone();
    let views = vec![
        View {
            resource: POD,
            subresources: &["log"],
            refused: &[Refused {
                subresource: "exec",
                instead: "look from outside",
            }],
            end: Some(Arc::new(move |key, grace| {
                note.lock().unwrap().push((key.name().to_owned(), grace));
            })),
        },
        View {
            resource: EVENT,
            subresources: &[],
            refused: &[],
            end: None,
        },
    ];
    (Server::with_views(views).await, ended)
}

fn show(server: &Server, resource: &Resource, name: &str, object: Value) {
    let key = Key::new(resource.plural, "default", name).unwrap();
    server.shown.show(&key, object);
}

fn pod(phase: &str, app: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": {"labels": {"app": app}, "uid": format!("uid-{app}")},
        "spec": {"containers": [{"name": "user-container"}], "nodeName": "here"},
        "status": {"phase": phase, "containerStatuses": [{"ready": phase == "Running", "restartCount": 0}]},
    })
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

async fn table(server: &Server, path: &str) -> Value {
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = server.client.get(server.url(path)).header("accept", accept);
    answer(request.send().await.unwrap()).await.1
}

/// The next event of a watch.
async fn next(watch: &mut Response, buffer: &mut Vec<u8>) -> Option<Value> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            return Some(serde_json::from_slice(&line).unwrap());
        }
        buffer.extend_from_slice(&watch.chunk().await.unwrap()?);
    }
}

#[tokio::test]
async fn what_is_shown_is_listed_selected_and_read() {
    let (server, _) = server().await;
    show(&server, &POD, "b", pod("Running", "x"));
    show(&server, &POD, "a", pod("Pending", "y"));
    let (code, list) = server.get(PODS).await;
    assert_eq!((code, names(&list)), (200, vec!["a", "b"]));
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("PodList"), &json!("v1"))
    );
    for (query, expected) in [
        ("labelSelector=app%3Dx", vec!["b"]),
        ("labelSelector=app%20in%20(x,y)", vec!["a", "b"]),
        ("fieldSelector=metadata.name%3Da", vec!["a"]),
        ("fieldSelector=status.phase%3DRunning", vec!["b"]),
        ("fieldSelector=spec.nodeName%3Delsewhere", vec![]),
    ] {
        let (_, list) = server.get(&format!("{PODS}?{query}")).await;
        assert_eq!(names(&list), expected, "{query}");
    }
    let (code, one) = server.get(&format!("{PODS}/a")).await;
    assert_eq!((code, &one["status"]["phase"]), (200, &json!("Pending")));
    assert_eq!(names(&server.get("/api/v1/pods").await.1), ["a", "b"]);
    let (code, status) = server.get(&format!("{PODS}/c")).await;
    assert_eq!(
        (code, &status["message"]),
        (404, &json!("pods \"c\" not found"))
    );
}

#[tokio::test]
async fn a_watch_from_a_list_sees_them_come_change_and_go() {
    let (server, _) = server().await;
    show(&server, &POD, "a", pod("Pending", "x"));
    let (_, list) = server.get(PODS).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let url = server.url(&format!("{PODS}?watch=true&resourceVersion={version}"));
    let mut watch = server.client.get(url).send().await.unwrap();
    show(&server, &POD, "a", pod("Running", "x"));
    // The same again is no news.
    show(&server, &POD, "a", pod("Running", "x"));
    show(&server, &POD, "b", pod("Pending", "x"));
    server
        .shown
        .hide(&Key::new("pods", "default", "a").unwrap());
    let mut buffer = Vec::new();
    for expected in [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")] {
        let event = next(&mut watch, &mut buffer).await.unwrap();
        let name = event["object"]["metadata"]["name"].as_str().unwrap();
        assert_eq!((event["type"].as_str().unwrap(), name), expected);
    }
    server.shutdown.cancel();
    assert_eq!(next(&mut watch, &mut buffer).await, None);
}

#[tokio::test]
async fn nobody_but_the_node_writes_them() {
    let (server, _) = server().await;
    show(&server, &POD, "a", pod("Running", "x"));
    show(&server, &EVENT, "e", json!({}));
    let one = format!("{PODS}/a");
    let event = format!("{EVENTS}/e");
    for (method, path, message) in [
        (
            Method::POST,
            PODS,
            "create is not supported on resources of kind \"pods\"",
        ),
        (
            Method::PUT,
            one.as_str(),
            "update is not supported on resources of kind \"pods\"",
        ),
        (
            Method::PATCH,
            one.as_str(),
            "patch is not supported on resources of kind \"pods\"",
        ),
        (
            Method::DELETE,
            PODS,
            "deletecollection is not supported on resources of kind \"pods\"",
        ),
        (
            Method::DELETE,
            event.as_str(),
            "delete is not supported on resources of kind \"events\"",
        ),
    ] {
        let (code, status) = server.send(method, path, &pod("Running", "z")).await;
        assert_eq!(
            (code, &status["reason"], &status["message"]),
            (405, &json!("MethodNotAllowed"), &json!(message))
        );
    }
    assert_eq!(
        server.get(&one).await.1["metadata"]["labels"]["app"],
        json!("x")
    );
}

#[tokio::test]
async fn who_deletes_one_has_it_ended_and_is_shown_it_on_its_way_out() {
    let (server, ended) = server().await;
    show(&server, &POD, "a", pod("Running", "x"));
    let one = format!("{PODS}/a");
    for wanted in [json!({"uid": "another"}), json!({"resourceVersion": "0"})] {
        let options = json!({"preconditions": wanted});
        let (code, status) = server.send(Method::DELETE, &one, &options).await;
        assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    }
    let unknown = json!({"propagationPolicy": "Sideways"});
    assert_eq!(server.send(Method::DELETE, &one, &unknown).await.0, 400);
    let (code, _) = server
        .send(Method::DELETE, &one, &json!({"dryRun": ["All"]}))
        .await;
    assert_eq!(code, 200);
    assert!(ended.lock().unwrap().is_empty());

    let options = json!({"propagationPolicy": "Background", "gracePeriodSeconds": 3});
    let (code, leaving) = server.send(Method::DELETE, &one, &options).await;
    assert_eq!((code, &leaving["kind"]), (200, &json!("Pod")));
    assert_eq!(leaving["metadata"]["deletionGracePeriodSeconds"], 3);
    assert!(leaving["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(*ended.lock().unwrap(), [("a".to_owned(), Some(3))]);
    // It is there until what it shows has ended.
    assert_eq!(server.get(&one).await.0, 200);
    let (code, _) = server
        .send(Method::DELETE, &format!("{PODS}/b"), &json!({}))
        .await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn the_events_of_an_object_are_found_as_describe_looks_for_them() {
    let (server, _) = server().await;
    let event = |uid: &str, reason: &str| {
        json!({
            "kind": "Event", "apiVersion": "v1", "type": "Normal", "reason": reason, "message": "so it is", "count": 2,
            "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default", "uid": uid},
            "source": {"component": "vhive"}, "lastTimestamp": "2026-01-02T03:04:05Z",
        })
    };
    show(&server, &EVENT, "one", event("u", "Started"));
    show(&server, &EVENT, "other", event("v", "Killing"));
    let selector = "involvedObject.uid%3Du,involvedObject.name%3Da,involvedObject.namespace%3Ddefault,\
                    involvedObject.kind%3DPod";
    let (code, list) = server
        .get(&format!("{EVENTS}?fieldSelector={selector}"))
        .await;
    assert_eq!((code, names(&list)), (200, vec!["one"]));
    for (selector, expected) in [
        ("reason%3DKilling", vec!["other"]),
        ("type!%3DNormal", vec![]),
        ("source%3Dvhive", vec!["one", "other"]),
    ] {
        let (_, list) = server
            .get(&format!("{EVENTS}?fieldSelector={selector}"))
            .await;
        assert_eq!(names(&list), expected, "{selector}");
    }
}

#[tokio::test]
async fn tables_have_the_columns_that_kubernetes_has() {
    let (server, _) = server().await;
    show(&server, &POD, "a", pod("Running", "x"));
    let event = json!({
        "type": "Normal", "reason": "Started", "message": "it has\n", "involvedObject": {"kind": "Pod", "name": "a"},
    });
    show(&server, &EVENT, "e", event);
    let columns = |table: &Value, priority: u64| -> Vec<String> {
        let columns = table["columnDefinitions"].as_array().unwrap();
        let shown = columns.iter().filter(|it| it["priority"] == priority);
        shown
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let pods = table(&server, PODS).await;
    assert_eq!(
        columns(&pods, 0),
        ["Name", "Ready", "Status", "Restarts", "Age"]
    );
    assert_eq!(
        columns(&pods, 1),
        ["IP", "Node", "Nominated Node", "Readiness Gates"]
    );
    let cells = &pods["rows"][0]["cells"];
    let cells: Vec<&str> = [0, 1, 2, 3, 5, 6]
        .iter()
        .map(|it| cells[*it].as_str().unwrap())
        .collect();
    assert_eq!(cells, ["a", "1/1", "Running", "0", "<none>", "here"]);

    let events = table(&server, EVENTS).await;
    assert_eq!(
        columns(&events, 0),
        ["Last Seen", "Type", "Reason", "Object", "Message"]
    );
    let cells = &events["rows"][0]["cells"];
    assert_eq!((&cells[3], &cells[6]), (&json!("pod/a"), &json!("it has")));
}

#[tokio::test]
async fn discovery_names_them_with_what_can_be_done() {
    let (server, _) = server().await;
    let (_, version) = server.get("/api/v1").await;
    let resources = version["resources"].as_array().unwrap();
    let found = |name: &str| resources.iter().find(|it| it["name"] == name).unwrap();
    let pods = found("pods");
    assert_eq!(pods["verbs"], json!(["delete", "get", "list", "watch"]));
    assert_eq!(pods["shortNames"], json!(["po"]));
    assert_eq!(found("pods/log")["verbs"], json!(["get"]));
    assert_eq!(found("events")["verbs"], json!(["get", "list", "watch"]));
}

#[tokio::test]
async fn what_clients_know_from_elsewhere_is_refused_with_what_to_do_instead() {
    let (server, _) = server().await;
    show(&server, &POD, "a", pod("Running", "x"));
    for method in [Method::GET, Method::POST] {
        let path = format!("{PODS}/a/exec?command=sh");
        let (code, status) = server.send(method, &path, &json!({})).await;
        assert_eq!((code, &status["reason"]), (405, &json!("MethodNotAllowed")));
        assert_eq!(
            status["message"],
            "exec is not supported on pods \"a\": look from outside"
        );
    }
    for (path, message) in [
        ("b/exec", "pods \"b\" not found"),
        (
            "a/binding",
            "the server could not find the requested resource",
        ),
    ] {
        let (code, status) = server.get(&format!("{PODS}/{path}")).await;
        assert_eq!((code, &status["message"]), (404, &json!(message)));
    }
}

#[tokio::test]
async fn a_list_in_pieces_shows_one_moment() {
    let (server, _) = server().await;
    for name in ["a", "b", "c", "d"] {
        show(&server, &POD, name, pod("Running", "x"));
    }
    let (_, first) = server.get(&format!("{PODS}?limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    let key = |name: &str| Key::new("pods", "default", name).unwrap();
    server.shown.hide(&key("a"));
    server.shown.hide(&key("d"));
    show(&server, &POD, "e", pod("Running", "x"));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = format!("{PODS}?limit=2&continue={token}");
    let (_, second) = server.get(&rest).await;
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"].get("continue"), None);
    assert_eq!(
        first["metadata"]["resourceVersion"],
        second["metadata"]["resourceVersion"]
    );
    assert_eq!(names(&server.get(PODS).await.1), ["b", "c", "e"]);

    // As rows, and with a selector, too.
    let rows = table(&server, &format!("{PODS}?limit=1&labelSelector=app%3Dx")).await;
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1);
    assert!(rows["metadata"]["continue"].is_string());

    // What has happened since is more than is remembered.
    for count in 0..5000 {
        show(&server, &EVENT, "e", json!({"count": count}));
    }
    let (code, status) = server.get(&rest).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn a_token_of_stored_objects_means_nothing_among_views() {
    let (server, _) = server().await;
    for name in ["a", "b"] {
        show(&server, &POD, name, pod("Running", "x"));
        let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}});
        let path = "/api/v1/namespaces/default/configmaps";
        let (code, _) = server.send(Method::POST, path, &map).await;
        assert_eq!(code, 201);
    }
    let path = "/api/v1/namespaces/default/configmaps?limit=1";
    let (_, list) = server.get(path).await;
    let token = list["metadata"]["continue"].as_str().unwrap();
    let (code, status) = server.get(&format!("{PODS}?continue={token}")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn a_watch_of_views_begins_with_what_there_is_and_says_where_that_ends() {
    let (server, _) = server().await;
    show(&server, &POD, "a", pod("Running", "x"));
    show(&server, &POD, "b", pod("Running", "y"));
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan\
                 &labelSelector=app%3Dx&timeoutSeconds=600";
    let url = server.url(&format!("{PODS}?{query}"));
    let mut watch = server.client.get(url).send().await.unwrap();
    let mut buffer = Vec::new();
    let first = next(&mut watch, &mut buffer).await.unwrap();
    assert_eq!(
        (&first["type"], &first["object"]["metadata"]["name"]),
        (&json!("ADDED"), &json!("a"))
    );
    let end = next(&mut watch, &mut buffer).await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    let annotations = &end["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    let reached = end["object"]["metadata"]["resourceVersion"]
        .as_str()
        .unwrap();
    assert_eq!(reached, server.shown.store().resource_version().to_string());
}

#[tokio::test]
async fn versions_of_a_node_that_has_ended_are_refused_and_those_to_come_too() {
    let (server, _) = server().await;
    show(&server, &POD, "a", pod("Running", "x"));
    let current = server.shown.store().resource_version();
    for (version, code, reason) in [
        (current - 100_000, 410, "Expired"),
        (current + 100_000, 504, "Timeout"),
    ] {
        let path = format!("{PODS}?watch=true&resourceVersion={version}");
        let (found, status) = server.get(&path).await;
        assert_eq!((found, &status["reason"]), (code, &json!(reason)));
    }
}
