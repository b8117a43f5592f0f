//! What clients rely on when they change a service.

use serde_json::{Value, json};

use crate::client::told;
use crate::rig::{IMAGE, Rig};

fn initial_scale(scale: &str) -> Value {
    json!({"autoscaling.knative.dev/initial-scale": scale})
}

fn generations(service: &Value) -> (i64, i64) {
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    (
        number(&service["metadata"]["generation"]),
        number(&service["status"]["observedGeneration"]),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_change_comes_before_anybody_has_acted_on_it() {
    let rig = Rig::new().await;
    rig.api.create("hello", IMAGE, &initial_scale("0")).await;
    // kn says that something has changed if the two differ, and then waits until they do not.
    for generation in 2..12 {
        rig.api.ready("hello").await;
        let annotations = json!({"note": generation.to_string()});
        let change = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let answer = rig.api.patch("hello", &change).await;
        assert_eq!(generations(&answer), (generation, generation - 1));
        let caught_up = |it: &Value| generations(it) == (generation, generation);
        rig.api.until("services", "hello", caught_up).await;
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_without_the_defaults_moves_no_generation() {
    let rig = Rig::new().await;
    rig.api.create("hello", IMAGE, &initial_scale("0")).await;
    rig.api.ready("hello").await;
    // As kn sends it: the list of containers replaces what has the defaults, and metadata changes.
    let again = json!({
        "metadata": {"annotations": {"note": "again"}},
        "spec": {"template": {"spec": {"containers": [{"image": IMAGE}]}}},
    });
    let answer = rig.api.patch("hello", &again).await;
    assert_eq!(answer["metadata"]["annotations"]["note"], "again");
    assert_eq!(generations(&answer), (1, 1));
    let changed = json!({"spec": {"template": {"spec": {"timeoutSeconds": 299}}}});
    assert_eq!(generations(&rig.api.patch("hello", &changed).await).0, 2);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_zero_is_ready_and_says_so_for_its_information_only() {
    let rig = Rig::new().await;
    rig.api.create("hello", IMAGE, &initial_scale("0")).await;
    rig.api.ready("hello").await;
    let revision = rig.api.get("revisions", "hello-00001").await;
    assert_eq!(told(&revision).0, "True");
    let conditions = revision["status"]["conditions"].as_array().unwrap();
    let active = conditions.iter().find(|it| it["type"] == "Active").unwrap();
    let told = ["status", "reason", "severity"].map(|key| active[key].as_str().unwrap_or_default());
    assert_eq!(told, ["False", "NoTraffic", "Info"]);
    assert_eq!(revision["status"]["actualReplicas"], 0);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_and_shares_that_clients_read_are_never_null() {
    let rig = Rig::new().await;
    rig.api.create("hello", IMAGE, &initial_scale("0")).await;
    rig.api.ready("hello").await;
    let traffic = json!([{"latestRevision": true, "percent": 100}, {"revisionName": "hello-00001", "tag": "old"}]);
    rig.api
        .patch("hello", &json!({"spec": {"traffic": traffic}}))
        .await;
    let tagged = |it: &Value| {
        it["status"]["traffic"]
            .as_array()
            .is_some_and(|it| it.len() == 2)
    };
    let service = rig.api.until("services", "hello", tagged).await;
    let route = rig.api.get("routes", "hello").await;
    for object in [&service, &route] {
        for at in ["/spec/traffic", "/status/traffic"] {
            for target in object.pointer(at).unwrap().as_array().unwrap() {
                assert!(target["percent"].is_i64(), "{at}: {target}");
            }
        }
    }
    // kn reads these of a revision without looking whether they are there.
    let revision = rig.api.get("revisions", "hello-00001").await;
    for map in ["labels", "annotations"] {
        assert!(revision["metadata"][map].is_object(), "{map}: {revision}");
    }
    for label in [
        "configuration",
        "configurationGeneration",
        "service",
        "routingState",
    ] {
        let label = format!("serving.knative.dev/{label}");
        assert!(
            revision["metadata"]["labels"][&label].is_string(),
            "{label}"
        );
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_no_route_leads_to_keeps_no_instances_for_its_min_scale() {
    let rig = Rig::new().await;
    let least = json!({
        "autoscaling.knative.dev/min-scale": "1",
        "autoscaling.knative.dev/window": "6s",
    });
    rig.api.create("hello", IMAGE, &least).await;
    rig.api.ready("hello").await;
    let change = json!({"spec": {"template": {"metadata": {"annotations": {"note": "second"}}}}});
    rig.api.patch("hello", &change).await;
    let at = |replicas: i64| move |it: &Value| it["status"]["actualReplicas"] == replicas;
    rig.api.until("revisions", "hello-00002", at(1)).await;
    rig.api.until("revisions", "hello-00001", at(0)).await;
    let kept = rig.api.get("revisions", "hello-00002").await;
    assert!(at(1)(&kept), "{kept}");
    rig.shut_down().await;
}
