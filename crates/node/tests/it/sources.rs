//! Functions that take variables and files from `ConfigMaps` and Secrets.

use agent::protocol::Contents;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::client::{SNAPSHOTS, told};
use crate::function::RESTORED;
use crate::rig::{IMAGE, LONG, Rig};

const CORE: &str = "/api/v1/namespaces/default";

impl Rig {
    /// Makes an object hold this, whether there is one or not.
    async fn hold(&self, plural: &str, name: &str, data: Value) {
        let path = format!("{CORE}/{plural}/{name}");
        let (status, mut object) = self.api.object(Method::GET, &path, None).await;
        let (method, path) = if status == 404 {
            object = json!({"metadata": {"name": name}});
            (Method::POST, format!("{CORE}/{plural}"))
        } else {
            (Method::PUT, path)
        };
        object["data"] = data;
        let (status, answer) = self.api.object(method, &path, Some(&object)).await;
        assert!(matches!(status, 200 | 201), "{answer:#}");
    }

    /// Ends the only instance, as a client may; another takes its place.
    async fn replace_instance(&self) {
        let pods = self.api.list("pods").await;
        let [pod] = pods.as_slice() else {
            panic!("{pods:#?}");
        };
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = format!("{CORE}/pods/{name}");
        let (status, answer) = self.api.object(Method::DELETE, &path, None).await;
        assert_eq!(status, 200, "{answer:#}");
        self.api
            .eventually("pods", |pods| {
                pods.iter().all(|it| it["metadata"]["name"] != name)
            })
            .await;
    }

    async fn snapshots_are(&self, count: usize) {
        self.api
            .eventually("snapshots", |it| it.len() == count)
            .await;
    }
}

/// A template whose container takes variable WORD from a key.
fn variable(from: &str, name: &str, key: &str) -> Value {
    let word = json!({"name": "WORD", "valueFrom": {from: {"name": name, "key": key}}});
    json!({"spec": {"containers": [{"image": IMAGE, "env": [word]}]}})
}

/// A template whose container mounts a `ConfigMap`.
fn mounted(name: &str) -> Value {
    let mount = json!({"name": "config", "mountPath": "/config"});
    json!({"spec": {
        "containers": [{"image": IMAGE, "volumeMounts": [mount]}],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }})
}

fn word(env: &[(String, String)]) -> Option<&str> {
    let word = env.iter().find(|(name, _)| name == "WORD");
    word.map(|(_, word)| word.as_str())
}

/// What the file `word` of the only volume holds, when that is told next.
async fn next(volumes: &mut UnboundedReceiver<Vec<Contents>>) -> String {
    let told = timeout(LONG, volumes.recv()).await.expect("silence");
    let told = told.unwrap();
    let [volume] = told.as_slice() else {
        panic!("{told:?}");
    };
    let mut files = volume.files.iter();
    let file = files.find(|file| file.path == "word").unwrap();
    String::from_utf8(file.contents.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_lacks_is_named_and_it_starts_by_itself_once_that_is_there() {
    let rig = Rig::new().await;
    let template = variable("secretKeyRef", "keys", "token");
    rig.api.create_from("hello", &template).await;
    let lacks = |what: &'static str| {
        move |object: &Value| {
            let (status, reason, message) = told(object);
            let named = message.contains(what) && message.contains("env WORD needs it");
            status == "False" && reason == "CreateContainerConfigError" && named
        }
    };
    let none = "Secret \"keys\" does not exist in namespace \"default\"";
    rig.api.until("revisions", "hello-00001", lacks(none)).await;
    let refused = rig.call("hello").await;
    assert_eq!((refused.status, refused.retry_after), (503, None));
    for part in ["CreateContainerConfigError", none, "create it"] {
        assert!(refused.body.contains(part), "{part}: {}", refused.body);
    }
    let pods = rig.api.list("pods").await;
    let waits = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(pods.len(), 1, "{pods:?}");
    assert_eq!(waits(&pods[0])["reason"], "CreateContainerConfigError");
    let message = waits(&pods[0])["message"].to_string();
    assert!(message.contains("does not exist"), "{message}");

    rig.hold("secrets", "keys", json!({"other": "eA=="})).await;
    let no_key = "Secret \"keys\" in namespace \"default\" has no key \"token\"";
    rig.api
        .until("revisions", "hello-00001", lacks(no_key))
        .await;
    assert!(rig.call("hello").await.body.contains(no_key));

    rig.hold("secrets", "keys", json!({"token": "czNjcmV0"}))
        .await;
    let started = rig.functions.next().await;
    assert_eq!(word(&started.env), Some("s3cret"));
    rig.api.ready("hello").await;
    assert_eq!(rig.call("hello").await.status, 200);
    // Nothing that shows the function shows the value.
    for path in [
        "/apis/serving.knative.dev/v1/revisions",
        "/apis/vhive.dev/v1/instances",
        "/api/v1/pods",
        "/api/v1/events",
    ] {
        let shown = rig.api.text(path).await;
        assert!(shown.contains("hello-00001"), "{path}: {shown}");
        let leaked = ["s3cret", "czNjcmV0"].iter().any(|it| shown.contains(it));
        assert!(!leaked, "{path}: {shown}");
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_change_while_a_function_runs_and_stay_when_their_source_goes() {
    let rig = Rig::new().await;
    rig.hold("configmaps", "settings", json!({"word": "one"}))
        .await;
    rig.api.create_from("hello", &mounted("settings")).await;
    rig.api.ready("hello").await;
    let mut started = rig.functions.next().await;
    assert_eq!(next(&mut started.volumes).await, "one");
    for word in ["two", "three"] {
        rig.hold("configmaps", "settings", json!({"word": word}))
            .await;
        assert_eq!(next(&mut started.volumes).await, word);
    }
    let path = format!("{CORE}/configmaps/settings");
    rig.api.object(Method::DELETE, &path, None).await;
    assert_eq!(rig.call("hello").await.status, 200);
    rig.hold("configmaps", "settings", json!({"word": "four"}))
        .await;
    assert_eq!(next(&mut started.volumes).await, "four");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_a_function_is_saved_makes_the_snapshot_useless() {
    let rig = Rig::saving_after(2).await;
    rig.hold("configmaps", "settings", json!({"word": "one"}))
        .await;
    rig.api.create_from("hello", &mounted("settings")).await;
    rig.api.ready("hello").await;
    let mut started = rig.functions.next().await;
    assert_eq!(next(&mut started.volumes).await, "one");
    rig.habits.linger();
    for _ in 0..2 {
        rig.call("hello").await;
    }
    rig.habits.asked_to_leave().await;
    rig.hold("configmaps", "settings", json!({"word": "two"}))
        .await;
    rig.habits.leave();
    let saved = async {
        let events = "/api/v1/events";
        while !rig.api.text(events).await.contains("SnapshotSaved") {}
    };
    timeout(LONG, saved).await.expect("it is saved");
    rig.snapshots_are(0).await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_is_what_later_instances_begin_with_and_no_snapshot_says_otherwise() {
    for (template, of_variable) in [
        (variable("configMapKeyRef", "settings", "word"), true),
        (mounted("settings"), false),
    ] {
        let rig = Rig::saving_after(2).await;
        rig.hold("configmaps", "settings", json!({"word": "one"}))
            .await;
        rig.api.create_from("hello", &template).await;
        rig.api.ready("hello").await;
        let _first = rig.functions.next().await;
        for _ in 0..2 {
            rig.call("hello").await;
        }
        rig.snapshots_are(1).await;
        rig.replace_instance().await;
        rig.call("hello").await;
        let clone = rig.functions.next().await;
        assert_eq!(clone.program, RESTORED);

        // What can be restored goes at once: it holds what may have been a secret.
        rig.hold("configmaps", "settings", json!({"word": "two"}))
            .await;
        rig.snapshots_are(0).await;
        rig.replace_instance().await;
        rig.call("hello").await;
        let mut started = rig.functions.next().await;
        assert_eq!(started.program, "/first");
        if of_variable {
            assert_eq!(word(&started.env), Some("two"));
        } else {
            assert_eq!(next(&mut started.volumes).await, "two");
        }
        rig.snapshots_are(1).await;

        // An instance that began with other values is none to make copies of.
        rig.hold("configmaps", "settings", json!({"word": "three"}))
            .await;
        rig.snapshots_are(0).await;
        let wish = json!({"kind": "Snapshot", "apiVersion": "vhive.dev/v1", "spec": {"revision": "hello-00001"}});
        let (status, refusal) = rig.api.object(Method::POST, SNAPSHOTS, Some(&wish)).await;
        assert_eq!(status, 409, "{refusal:#}");
        // With the values of before it is.
        rig.hold("configmaps", "settings", json!({"word": "two"}))
            .await;
        rig.snapshots_are(1).await;
        rig.shut_down().await;
    }
}
