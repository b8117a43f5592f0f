//! Why there are so many instances, and what the settings of the platform do to it.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::rig::{IMAGE, LONG, Rig};

const AUTOSCALERS: &str =
    "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/default/podautoscalers";
const CONFIG_MAPS: &str = "/api/v1/namespaces/knative-serving/configmaps";

/// Waits until what scales the first revision of `hello` is as it should be.
async fn scaled(rig: &Rig, holds: impl Fn(&Value) -> bool) -> Value {
    let path = format!(
        "{AUTOSCALERS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dhello-00001"
    );
    let event = rig.api.watch(&path, |event| holds(&event["object"])).await;
    event["object"].clone()
}

fn decisions(autoscaler: &Value) -> Vec<(u64, &str)> {
    let all = autoscaler["status"]["decisions"].as_array().unwrap();
    let decision = |it: &'_ Value| it["desiredScale"].as_u64();
    all.iter()
        .filter_map(|it| Some((decision(it)?, it["reason"].as_str()?)))
        .collect()
}

fn settings(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "knative-serving"}, "data": data})
}

/// Replaces the configuration of the autoscaler, and returns the answer.
async fn configure(rig: &Rig, data: &Value) -> (u16, Value) {
    let path = format!("{CONFIG_MAPS}/config-autoscaler");
    let (_, mut map) = rig.api.object(Method::GET, &path, None).await;
    map["data"] = data.clone();
    rig.api.object(Method::PUT, &path, Some(&map)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_goes_to_zero_after_its_window_and_its_autoscaler_says_why() {
    let rig = Rig::new().await;
    let short = json!({"autoscaling.knative.dev/window": "6s"});
    rig.api.create("hello", IMAGE, &short).await;
    rig.api.ready("hello").await;
    let active = scaled(&rig, |it| it["status"]["actualScale"] == 1).await;
    assert_eq!(decisions(&active)[0], (1, "InitialScale"));
    assert_eq!(rig.call("hello").await.status, 200);
    let asleep = scaled(&rig, |it| it["status"]["desiredScale"] == 0).await;
    let told = decisions(&asleep);
    assert_eq!(told.last(), Some(&(0, "Idle")), "{told:?}");
    assert_eq!(asleep["status"]["conditions"][0]["reason"], "NoTraffic");
    assert_eq!(
        asleep["metadata"]["ownerReferences"][0]["name"],
        "hello-00001"
    );
    rig.api.eventually("pods", <[_]>::is_empty).await;

    // Awake again at once, and asleep when the window has passed again.
    assert_eq!(rig.call("hello").await.status, 200);
    let awake = scaled(&rig, |it| it["status"]["actualScale"] == 1).await;
    assert!(decisions(&awake).contains(&(1, "Waiting")), "{awake:#}");
    rig.api.eventually("pods", <[_]>::is_empty).await;
    rig.api.delete("hello").await;
    let gone = async {
        while rig.api.object(Method::GET, AUTOSCALERS, None).await.1["items"] != json!([]) {}
    };
    timeout(LONG, gone)
        .await
        .expect("it goes with its revision");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_made_anew_under_its_name_does_not_inherit_what_its_predecessor_was_asked() {
    let rig = Rig::new().await;
    let by_rate =
        json!({"autoscaling.knative.dev/metric": "rps", "autoscaling.knative.dev/target": "20"});
    rig.api.create("hello", IMAGE, &by_rate).await;
    rig.api.ready("hello").await;
    for _ in 0..300 {
        assert_eq!(rig.call("hello").await.status, 200);
    }
    let owner = |it: &Value| it["metadata"]["ownerReferences"][0]["uid"].clone();
    let before = owner(&scaled(&rig, |_| true).await);
    // The route goes on leading to its name, and the gateway to know it.
    let path = "/apis/serving.knative.dev/v1/namespaces/default/revisions/hello-00001";
    let (status, answer) = rig.api.object(Method::DELETE, path, None).await;
    assert_eq!(status, 200, "{answer}");
    // Whatever comes after the scale that it begins with is by its load.
    let anew = |it: &Value| {
        owner(it) != before
            && decisions(it)
                .last()
                .is_some_and(|last| last.1 != "InitialScale")
    };
    let anew = scaled(&rig, anew).await;
    let told = decisions(&anew);
    assert!(told.iter().all(|(desired, _)| *desired == 1), "{told:?}");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_of_the_autoscaler_takes_effect_without_a_restart() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let two = settings("config-autoscaler", &json!({"min-scale": "2"}));
    let (status, answer) = rig.api.object(Method::POST, CONFIG_MAPS, Some(&two)).await;
    assert_eq!(status, 201, "{answer}");
    let scaled_up = scaled(&rig, |it| it["status"]["actualScale"] == 2).await;
    assert_eq!(decisions(&scaled_up).last(), Some(&(2, "MinScale")));
    rig.api.eventually("pods", |pods| pods.len() == 2).await;

    let (status, refused) = configure(&rig, &json!({"stable-window": "1s"})).await;
    assert_eq!(
        (status, refused["message"].as_str()),
        (
            400,
            Some("validation failed: stable-window = 1s, must be in [6s; 1h0m0s] range")
        )
    );
    let one = json!({"min-scale": "1", "stable-window": "6s"});
    let (status, answer) = configure(&rig, &one).await;
    assert_eq!(status, 200, "{answer}");
    rig.api.eventually("pods", |pods| pods.len() == 1).await;

    // A node that starts reads it.
    let rig = Rig::on(rig.shut_down().await).await;
    scaled(&rig, |it| it["status"]["actualScale"] == 1).await;
    let (status, answer) = configure(&rig, &json!({"stable-window": "6s"})).await;
    assert_eq!(status, 200, "{answer}");
    rig.api.eventually("pods", <[_]>::is_empty).await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_of_services_take_effect_without_a_restart() {
    let rig = Rig::new().await;
    let defaults = settings(
        "config-defaults",
        &json!({"revision-timeout-seconds": "120", "container-concurrency": "7"}),
    );
    let (status, answer) = rig
        .api
        .object(Method::POST, CONFIG_MAPS, Some(&defaults))
        .await;
    assert_eq!(status, 201, "{answer}");
    let service = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"image": IMAGE}]}}}});
    let path = "/apis/serving.knative.dev/v1/namespaces/default/services?dryRun=All";
    let defaulted = async {
        loop {
            let (_, service) = rig.api.object(Method::POST, path, Some(&service)).await;
            let spec = &service["spec"]["template"]["spec"];
            if spec["timeoutSeconds"] == 120 {
                return spec["containerConcurrency"].clone();
            }
        }
    };
    let concurrency = timeout(LONG, defaulted).await.expect("the new default");
    assert_eq!(concurrency, 7);
    rig.shut_down().await;
}
