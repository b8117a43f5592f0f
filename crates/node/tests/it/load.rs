//! Many requests at once.

use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::client::SERVING;
use crate::rig::{IMAGE, LONG, Rig};

const REQUESTS: usize = 500;
const MOST: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_burst_to_a_function_at_zero_no_request_is_lost_and_none_meets_another() {
    let rig = Rig::new().await;
    let service = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {"template": {
            "metadata": {"annotations": {"autoscaling.knative.dev/max-scale": MOST.to_string()}},
            "spec": {"containerConcurrency": 1, "containers": [{"image": IMAGE}]},
        }},
    });
    let path = format!("{SERVING}/services");
    let made = rig.api.ask(Method::POST, &path, Some(&service)).await;
    assert!(made.status().is_success());
    rig.api.ready("hello").await;
    // To zero: one that nobody has called for a while is not started again when it ends.
    rig.functions.next().await.listen().now();
    rig.api
        .eventually("pods", |pods| {
            pods.iter().any(|pod| pod["status"]["phase"] == "Failed")
        })
        .await;

    let ingress = rig.ingress();
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .resolve("hello.default.test", ingress)
        .build()
        .unwrap();
    let url = format!("http://hello.default.test:{}/", ingress.port());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        let call = client.get(&url).send();
        calls.spawn(async move {
            let answer = call.await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        });
    }
    let answers = timeout(LONG, calls.join_all()).await.expect("no answer");
    for answer in &answers {
        assert_eq!(*answer, (200, "/first".to_owned()));
    }
    assert_eq!(answers.len(), REQUESTS);
    assert_eq!(rig.habits.busiest(), 1, "requests at once in one instance");
    let started = rig.api.list("pods").await.len() - 1;
    assert!((1..=MOST).contains(&started), "{started} instances");
    rig.shut_down().await;
}
