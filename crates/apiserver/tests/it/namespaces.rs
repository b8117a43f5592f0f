//! Namespaces: what is made without one is refused, and what is in one goes with it.

use apiserver::{
    Store, namespaces,
    store::{Error, Key},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{SERVICES, Server, answer, service};

const ALL: &str = "/api/v1/namespaces";

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

async fn made(server: &Server, name: &str) -> Value {
    let (code, made) = server.send(Method::POST, ALL, &namespace(name)).await;
    assert_eq!(code, 201, "{made}");
    made
}

/// Waits until nothing is at a path.
async fn gone(server: &Server, path: &str) {
    let mut watch = server
        .store
        .watch(None, None, server.store.resource_version())
        .unwrap();
    while server.get(path).await.0 != 404 {
        watch.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_namespace_is_made_shown_and_labelled_as_kubernetes_does() {
    let server = Server::start().await;
    let made = made(&server, "team").await;
    assert_eq!(made["status"], json!({"phase": "Active"}));
    assert_eq!(made["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(
        made["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "team"})
    );
    let (_, list) = server.get(ALL).await;
    let names: Vec<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["default", "knative-serving", "kube-system", "team"]);
    let table = server
        .client
        .get(server.url(ALL))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let (_, table) = answer(table.send().await.unwrap()).await;
    let columns = table["columnDefinitions"].as_array().unwrap();
    let columns: Vec<&str> = columns
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "Status", "Age"]);
    assert_eq!(table["rows"][3]["cells"][1], "Active");
    let (_, active) = server
        .get(&format!("{ALL}?fieldSelector=status.phase%3DTerminating"))
        .await;
    assert_eq!(active["items"], json!([]));
    let (_, version) = server.get("/api/v1").await;
    let entry = &version["resources"][0];
    assert_eq!(
        (&entry["name"], &entry["namespaced"], &entry["shortNames"]),
        (&json!("namespaces"), &json!(false), &json!(["ns"]))
    );
}

#[tokio::test]
async fn a_namespace_has_a_name_that_hosts_can_have_and_keeps_what_the_server_says() {
    let server = Server::start().await;
    let (code, status) = server.send(Method::POST, ALL, &namespace("a.b")).await;
    assert_eq!(code, 422);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Namespace \"a.b\" is invalid: metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label must"
        ),
        "{message}"
    );
    made(&server, "team").await;
    let edit =
        json!({"metadata": {"labels": null}, "spec": {"finalizers": []}, "status": {"phase": "x"}});
    let (code, edited) = server
        .send(Method::PATCH, &format!("{ALL}/team"), &edit)
        .await;
    assert_eq!(code, 200);
    assert_eq!(edited["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(edited["status"], json!({"phase": "Active"}));
    assert_eq!(
        edited["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "team"
    );
}

#[tokio::test]
async fn nothing_is_made_in_a_namespace_that_is_not_there() {
    let server = Server::start().await;
    let services = "/apis/serving.knative.dev/v1/namespaces/x/services";
    let not_found = json!({"name": "x", "kind": "namespaces"});
    let apply = server
        .client
        .patch(server.url(&format!("{services}/a?fieldManager=me")))
        .header("content-type", "application/apply-patch+yaml")
        .body(service("a").to_string());
    for (code, status) in [
        server.send(Method::POST, services, &service("a")).await,
        server
            .send(
                Method::POST,
                &format!("{services}?dryRun=All"),
                &service("a"),
            )
            .await,
        server
            .send(Method::POST, "/api/v1/namespaces/x/configmaps", &map("a"))
            .await,
        answer(apply.send().await.unwrap()).await,
    ] {
        assert_eq!(code, 404, "{status}");
        assert_eq!(status["message"], "namespaces \"x\" not found");
        assert_eq!(status["details"], not_found);
    }
    assert_eq!(server.get(services).await.1["items"], json!([]));
    made(&server, "x").await;
    let (code, _) = server.send(Method::POST, services, &service("a")).await;
    assert_eq!(code, 201);
}

#[tokio::test]
async fn with_a_namespace_goes_all_that_is_in_it_and_nothing_else() {
    let server = Server::start().await;
    made(&server, "team").await;
    let maps = "/api/v1/namespaces/team/configmaps";
    for name in ["a", "b"] {
        let (code, _) = server.send(Method::POST, maps, &map(name)).await;
        assert_eq!(code, 201);
    }
    let mut held = map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(server.send(Method::POST, maps, &held).await.0, 201);
    server.create("stays").await;

    let team = format!("{ALL}/team");
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    let (code, leaving) = server.send(Method::DELETE, &team, &options).await;
    assert_eq!(code, 200);
    assert_eq!(leaving["status"], json!({"phase": "Terminating"}));
    assert!(leaving["metadata"]["deletionTimestamp"].is_string());
    gone(&server, &format!("{maps}/a")).await;
    gone(&server, &format!("{maps}/b")).await;

    let (code, status) = server.send(Method::POST, maps, &map("late")).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        status["message"],
        "configmaps \"late\" is forbidden: unable to create new content in namespace team because it is being terminated"
    );
    assert_eq!(
        status["details"]["causes"][0],
        json!({
            "reason": "NamespaceTerminating", "message": "namespace team is being terminated",
            "field": "metadata.namespace",
        })
    );
    // Deleted again it stays on its way.
    assert_eq!(server.send(Method::DELETE, &team, &options).await.0, 200);
    assert_eq!(server.get(&team).await.0, 200);
    let free = json!({"metadata": {"finalizers": null}});
    let (code, _) = server
        .send(Method::PATCH, &format!("{maps}/held"), &free)
        .await;
    assert_eq!(code, 200);
    gone(&server, &team).await;
    assert_eq!(server.get(&format!("{SERVICES}/stays")).await.0, 200);
    // And another may take its name.
    made(&server, "team").await;
}

#[tokio::test]
async fn a_family_goes_with_its_namespace() {
    let server = Server::start().await;
    made(&server, "team").await;
    let services = "/apis/serving.knative.dev/v1/namespaces/team/services";
    let (_, owner) = server.send(Method::POST, services, &service("a")).await;
    for name in ["c", "d"] {
        let mut map = map(name);
        map["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "a", "uid": owner["metadata"]["uid"],
        }]);
        let (code, _) = server
            .send(Method::POST, "/api/v1/namespaces/team/configmaps", &map)
            .await;
        assert_eq!(code, 201);
    }
    let team = format!("{ALL}/team");
    server.send(Method::DELETE, &team, &json!({})).await;
    gone(&server, &team).await;
    let left = server.store.everything().objects;
    assert!(left.iter().all(|it| it.key().namespace() != "team"));
}

#[tokio::test]
async fn the_namespaces_of_the_start_stay() {
    let server = Server::start().await;
    for name in ["default", "knative-serving", "kube-system"] {
        let path = format!("{ALL}/{name}");
        let (code, status) = server.send(Method::DELETE, &path, &json!({})).await;
        assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
        assert_eq!(
            status["message"],
            format!("namespaces {name:?} is forbidden: this namespace may not be deleted")
        );
        assert_eq!(server.get(&path).await.1["status"]["phase"], "Active");
    }
    let (code, _) = server.send(Method::DELETE, ALL, &json!({})).await;
    assert_eq!(code, 405, "not all at once either");
}

#[tokio::test]
async fn a_store_from_before_namespaces_gets_those_that_its_objects_are_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store.redb")).unwrap();
    let key = |resource: &str, namespace: &str, name: &str| Key::new(resource, namespace, name);
    let old = key("configmaps", "old", "a").unwrap();
    store.create(&old, map("a")).await.unwrap();
    namespaces::ensure(&store).await.unwrap();
    for name in ["old", "default"] {
        let made = store.get(&key("namespaces", "", name).unwrap()).unwrap();
        assert_eq!(made.value()["status"]["phase"], "Active");
        assert_eq!(made.value()["spec"]["finalizers"], json!(["kubernetes"]));
    }
    let before = store.resource_version();
    namespaces::ensure(&store).await.unwrap();
    assert_eq!(store.resource_version(), before, "once is enough");
    // It is not taken for another that is being deleted.
    let namespace = key("namespaces", "", "old").unwrap();
    store.delete(&namespace, <_>::default()).await.unwrap();
    namespaces::ensure(&store).await.unwrap();
    let within = apiserver::store::Change::CreateWithin(map("b"));
    let refused = store
        .write(&key("configmaps", "old", "b").unwrap(), within)
        .await;
    assert!(matches!(refused, Err(Error::NamespaceTerminating(_))));
}

/// However writes and the deletion of their namespace meet, nothing is left without a namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_slips_into_a_namespace_that_is_being_deleted() {
    let server = Server::start().await;
    for round in 0..8 {
        let name = format!("n{round}");
        made(&server, &name).await;
        let maps = format!("{ALL}/{name}/configmaps");
        let writes = (0..16).map(|at| {
            let object = map(&format!("m{at}"));
            let (server, maps) = (&server, &maps);
            async move { server.send(Method::POST, maps, &object).await.0 }
        });
        let path = format!("{ALL}/{name}");
        let nothing = json!({});
        let delete = server.send(Method::DELETE, &path, &nothing);
        let (codes, _) = tokio::join!(futures_util::future::join_all(writes), delete);
        assert!(
            codes.iter().all(|code| matches!(code, 201 | 403 | 404)),
            "{codes:?}"
        );
        gone(&server, &path).await;
        let left = server.store.everything().objects;
        assert!(left.iter().all(|it| it.key().namespace() != name));
    }
}
