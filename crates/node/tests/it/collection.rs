//! What goes by itself: the children of what is deleted, and revisions that nobody needs.

use serde_json::{Value, json};

use crate::rig::{IMAGE, Rig};

fn names(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .map(|it| it["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_deleted_in_the_foreground_goes_after_its_children() {
    let rig = Rig::new().await;
    let none = json!({"autoscaling.knative.dev/initial-scale": "0"});
    // The controller and the collection write at the same time; which is first differs.
    for _ in 0..20 {
        rig.api.create("hello", IMAGE, &none).await;
        rig.api.ready("hello").await;
        let foreground = json!({"propagationPolicy": "Foreground"});
        rig.api.delete_with("hello", &foreground).await;
        rig.api.eventually("services", <[_]>::is_empty).await;
        for kind in ["configurations", "routes", "revisions"] {
            let left = rig.api.list(kind).await;
            assert!(left.is_empty(), "{left:#?}");
        }
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_deleted_while_its_children_are_made_leaves_none() {
    let rig = Rig::new().await;
    let none = json!({"autoscaling.knative.dev/initial-scale": "0"});
    for round in 0..20 {
        rig.api.create("hello", IMAGE, &none).await;
        let policy = ["Foreground", "Background"][round % 2];
        let options = json!({"propagationPolicy": policy});
        rig.api.delete_with("hello", &options).await;
        // One that was being made when its owner went is taken after it.
        for kind in ["services", "configurations", "routes", "revisions"] {
            rig.api.eventually(kind, <[_]>::is_empty).await;
        }
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_gets_no_traffic_goes_with_its_instances_when_it_is_not_to_be_kept() {
    let rig = Rig::keeping_none().await;
    rig.deploy("hello").await;
    let change = json!({"spec": {"template": {"metadata": {"annotations": {"note": "second"}}}}});
    rig.api.patch("hello", &change).await;
    rig.api
        .eventually("revisions", |it| names(it) == ["hello-00002"])
        .await;
    let of_second = |pods: &[Value]| {
        pods.iter()
            .all(|it| it["metadata"]["labels"]["serving.knative.dev/revision"] == "hello-00002")
    };
    rig.api.eventually("pods", of_second).await;
    assert_eq!(rig.call("hello").await.status, 200);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_asks_not_to_be_collected_stays() {
    let rig = Rig::keeping_none().await;
    let kept =
        json!({"serving.knative.dev/no-gc": "true", "autoscaling.knative.dev/initial-scale": "0"});
    rig.api.create("hello", IMAGE, &kept).await;
    rig.api.ready("hello").await;
    for (revision, kept) in [("hello-00002", "false"), ("hello-00003", "false")] {
        let annotations = json!({"note": revision, "serving.knative.dev/no-gc": kept});
        let change = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        rig.api.patch("hello", &change).await;
        rig.api
            .until("services", "hello", |it| {
                it["status"]["latestReadyRevisionName"] == revision
            })
            .await;
    }
    rig.api
        .eventually("revisions", |it| {
            names(it) == ["hello-00001", "hello-00003"]
        })
        .await;
    rig.shut_down().await;
}
