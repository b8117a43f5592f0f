//! What upstream's conformance tests of the API do, where nothing else here does it: see docs/knative-conformance.md.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{SERVING, told};
use crate::rig::{IMAGE, Rig};

async fn create(rig: &Rig, plural: &str, kind: &str, metadata: Value, spec: Value) -> Value {
    let object = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": kind, "metadata": metadata, "spec": spec,
    });
    let path = format!("{SERVING}/{plural}");
    let (status, made) = rig.api.object(Method::POST, &path, Some(&object)).await;
    assert_eq!(status, 201, "{made}");
    made
}

/// Changes an object as one who has read it does.
async fn change(rig: &Rig, plural: &str, name: &str, change: impl Fn(&mut Value)) -> Value {
    let path = format!("{SERVING}/{plural}/{name}");
    loop {
        let mut object = rig.api.get(plural, name).await;
        change(&mut object);
        let (status, after) = rig.api.object(Method::PUT, &path, Some(&object)).await;
        // The node may have written its status meanwhile.
        if status != 409 {
            assert_eq!(status, 200, "{after}");
            return after;
        }
    }
}

fn template() -> Value {
    json!({"template": {"spec": {"containers": [{"image": IMAGE}]}}})
}

fn traffic(configuration: &str) -> Value {
    json!({"traffic": [{"configurationName": configuration, "percent": 100}]})
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

fn is_ready(object: &Value) -> bool {
    told(object).0 == "True"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_nobody_owns_serves_its_configuration_and_follows_it() {
    let rig = Rig::new().await;
    let named = |name: &str| json!({"name": name, "namespace": "default"});
    create(
        &rig,
        "configurations",
        "Configuration",
        named("code"),
        template(),
    )
    .await;
    create(&rig, "routes", "Route", named("code"), traffic("code")).await;
    let route = rig.api.until("routes", "code", is_ready).await;
    let serves = |route: &Value| route["status"]["traffic"][0]["revisionName"].clone();
    assert_eq!(serves(&route), "code-00001");
    assert_eq!(rig.call("code").await.body, "/first");
    let revision = rig.api.get("revisions", "code-00001").await;
    let labels = &revision["metadata"]["labels"];
    assert_eq!(labels["serving.knative.dev/configuration"], "code");
    assert_eq!(labels["serving.knative.dev/service"], Value::Null);

    rig.remains().build("/second");
    change(&rig, "configurations", "code", |it| {
        it["spec"]["template"]["metadata"] = json!({"annotations": {"note": "second"}});
    })
    .await;
    let followed = |route: &Value| is_ready(route) && serves(route) == "code-00002";
    rig.api.until("routes", "code", followed).await;
    assert_eq!(rig.call("code").await.body, "/second");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_configurations_metadata_is_kept_and_makes_no_revision() {
    let rig = Rig::new().await;
    let metadata = json!({"name": "code", "namespace": "default"});
    create(
        &rig,
        "configurations",
        "Configuration",
        metadata,
        template(),
    )
    .await;
    let before = rig.api.until("configurations", "code", is_ready).await;
    let after = change(&rig, "configurations", "code", |it| {
        it["metadata"]["labels"] = json!({"label-of-mine": "first"});
        it["metadata"]["annotations"]["annotation-of-mine"] = "first".into();
    })
    .await;
    assert_eq!(after["metadata"]["labels"]["label-of-mine"], "first");
    assert_eq!(
        after["metadata"]["annotations"]["annotation-of-mine"],
        "first"
    );
    // What is looked at after something else was planned and done has been looked at in vain.
    rig.deploy("other").await;
    let later = rig.api.get("configurations", "code").await;
    assert_eq!(
        later["metadata"]["generation"],
        before["metadata"]["generation"]
    );
    assert_eq!(later["status"], before["status"]);
    let revisions = rig.api.list("revisions").await;
    let names: Vec<_> = revisions.iter().map(name).collect();
    assert_eq!(names, ["code-00001", "other-00001"]);
    let labels = &revisions[0]["metadata"]["labels"];
    assert_eq!(labels["label-of-mine"], Value::Null);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_only_the_beginning_of_a_name_is_given_one_and_works() {
    let rig = Rig::new().await;
    let begun = json!({"generateName": "service-", "namespace": "default"});
    let service = name(&create(&rig, "services", "Service", begun, template()).await);
    let rest = service.strip_prefix("service-").unwrap();
    assert!(!rest.is_empty(), "{service}");
    rig.api.ready(&service).await;
    assert_eq!(rig.call(&service).await.body, "/first");
    rig.shut_down().await;
}
