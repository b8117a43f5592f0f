//! Many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

const INSTANCES: usize = 3;
/// Killed one after the other, under load.
const KILLED: usize = 3;
const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn when_instances_die_under_load_only_their_own_requests_fail_and_say_why() {
    let rig = Rig::new().await;
    let scale =
        json!({"autoscaling.knative.dev/min-scale": "3", "autoscaling.knative.dev/max-scale": "3"});
    rig.api.create("hello", IMAGE, &scale).await;
    rig.api.ready("hello").await;
    let (url, stop) = (
        format!("http://{}/", rig.ingress()),
        Arc::<AtomicBool>::default(),
    );
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (url, stop) = (url.clone(), stop.clone());
        callers.spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let mut answers = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let request = client.get(&url).header("host", "hello.default.test");
                let answer = timeout(LONG, request.send())
                    .await
                    .expect("no answer")
                    .unwrap();
                answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
            }
            answers
        });
    }
    let mut running = Vec::new();
    for _ in 0..INSTANCES {
        running.push(rig.functions.next().await.listen());
    }
    for _ in 0..KILLED {
        rig.habits.asked().await;
        running.remove(0).now();
        // It is replaced.
        running.push(rig.functions.next().await.listen());
    }
    for _ in 0..10 {
        rig.habits.asked().await;
    }
    stop.store(true, Ordering::SeqCst);
    let answers = callers.join_all().await.concat();
    let (well, failed): (Vec<_>, Vec<_>) = answers.iter().partition(|(status, _)| *status == 200);
    assert!(well.len() >= CALLERS, "{} answers", well.len());
    assert!(failed.len() <= KILLED * CALLERS, "{failed:?}");
    for (status, body) in failed {
        assert_eq!(*status, 502, "{body}");
        assert!(body.contains("of revision default/hello-00001"), "{body}");
    }
    rig.shut_down().await;
}
