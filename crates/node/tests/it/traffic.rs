//! Where traffic goes, and what is said of it.

use serde_json::{Value, json};

use crate::client::told;
use crate::rig::{IMAGE, Rig};

/// What makes another revision of the image as it is now, which gets all the traffic in this time.
fn update(rollout: &str) -> Value {
    json!({
        "metadata": {"annotations": {"serving.knative.dev/rollout-duration": rollout}},
        "spec": {"template": {"metadata": {"annotations": {"note": "second"}}}},
    })
}

/// Revisions of a route's status, each with its share.
fn shares(route: &Value) -> Vec<(&str, i64)> {
    let traffic = route["status"]["traffic"].as_array();
    traffic
        .into_iter()
        .flatten()
        .map(|it| {
            (
                it["revisionName"].as_str().unwrap(),
                it["percent"].as_i64().unwrap(),
            )
        })
        .collect()
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gradual_rollout_moves_traffic_in_steps_and_ends() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    rig.remains().build("/second");
    let before = rig.api.get("routes", "hello").await;
    rig.api.patch("hello", &update("3s")).await;
    let all = [("hello-00002", 100)];
    let history = rig
        .api
        .history("routes", "hello", version(&before), |route| {
            shares(route) == all && told(route).0 == "True"
        })
        .await;
    let mut seen: Vec<_> = history.iter().map(|it| (shares(it), told(it))).collect();
    seen.dedup_by(|(left, _), (right, _)| left == right);
    let begun = seen
        .iter()
        .position(|(shares, _)| *shares == [("hello-00001", 99), ("hello-00002", 1)]);
    let begun = begun.unwrap_or_else(|| panic!("it does not begin with 1 %: {seen:#?}"));
    assert!(
        seen[..begun]
            .iter()
            .all(|(it, _)| *it == [("hello-00001", 100)]),
        "{seen:#?}"
    );
    let steps = &seen[begun..seen.len() - 1];
    for (shares, (status, reason, _)) in steps {
        assert_eq!(
            (status.as_str(), reason.as_str()),
            ("Unknown", "RolloutInProgress")
        );
        assert_eq!(shares.iter().map(|(_, share)| share).sum::<i64>(), 100);
    }
    let newest: Vec<i64> = steps.iter().map(|(it, _)| it[1].1).collect();
    assert!(newest.is_sorted(), "{newest:?}");
    assert_eq!(rig.call("hello").await.body, "/second");
    rig.api.ready("hello").await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_where_it_was_after_a_restart() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    rig.remains().build("/second");
    // The next step comes long after the test.
    rig.api.patch("hello", &update("10h")).await;
    let planned = |route: &Value| {
        let state =
            route["status"]["annotations"]["networking.internal.knative.dev/rollout"].clone();
        state.as_str().is_some_and(|it| it.contains("nextStepTime"))
    };
    let before = rig.api.until("routes", "hello", planned).await;
    let mut started = json!({"/first": false, "/second": false});
    let rig = Rig::on(rig.shut_down().await).await;
    let after = rig.api.get("routes", "hello").await;
    for part in ["annotations", "traffic"] {
        assert_eq!(after["status"][part], before["status"][part]);
    }
    assert_eq!(told(&after).1, "RolloutInProgress");
    // One of a hundred goes to the new one.
    while started != json!({"/first": true, "/second": true}) {
        let body = rig.call("hello").await.body;
        started[body] = json!(true);
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_of_another_service_gets_no_traffic_and_the_route_says_whose_it_is() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let none = json!({"autoscaling.knative.dev/initial-scale": "0"});
    rig.api.create("other", IMAGE, &none).await;
    rig.api.ready("other").await;
    let traffic = json!([{"revisionName": "hello-00001", "percent": 100}]);
    rig.api
        .patch("other", &json!({"spec": {"traffic": traffic}}))
        .await;
    let refused = |object: &Value| told(object).1 == "RevisionNotOwned";
    let route = rig.api.until("routes", "other", refused).await;
    let (status, _, message) = told(&route);
    assert_eq!(status, "False");
    assert_eq!(
        message,
        "Revision \"hello-00001\" belongs to Service \"hello\", not Service \"other\"."
    );
    assert_eq!(shares(&route), [("other-00001", 100)]);
    rig.api.until("services", "other", refused).await;
    rig.shut_down().await;
}
