//! What functions print, while they live and after.

use serde_json::json;

use crate::rig::{IMAGE, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_five_instances_that_ended_keep_their_logs() {
    let rig = Rig::new().await;
    let seven = json!({"autoscaling.knative.dev/min-scale": "7"});
    rig.api.create("hello", IMAGE, &seven).await;
    rig.api
        .eventually("pods", |pods| {
            let ready = |pod: &&serde_json::Value| pod["status"]["phase"] == "Running";
            pods.iter().filter(ready).count() == 7
        })
        .await;
    // What takes their place comes no further, and so prints one line.
    rig.habits.wait(true);
    for _ in 0..7 {
        rig.functions.next().await.listen().now();
    }
    let ended = |pod: &&serde_json::Value| pod["status"]["phase"] == "Failed";
    rig.api
        .eventually("pods", |pods| {
            pods.iter().filter(ended).count() == 5
                && !pods.iter().any(|pod| pod["status"]["phase"] == "Running")
        })
        .await;
    let pods = rig.api.list("pods").await;
    for pod in pods.iter().filter(ended) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        assert_eq!(rig.api.log(name).await, format!("{name} begins\n"));
    }
    let shown: Vec<_> = pods
        .iter()
        .filter(ended)
        .map(|pod| format!("default_{}.log", pod["metadata"]["name"].as_str().unwrap()))
        .collect();
    let kept = rig.remains().names("logs");
    assert!(shown.iter().all(|log| kept.contains(log)), "{kept:?}");
    assert!(kept.len() <= pods.len(), "{kept:?}");

    let remains = rig.shut_down().await;
    let rig = Rig::on(remains).await;
    let previous = rig.remains().names("logs.previous");
    assert!(
        shown.iter().all(|log| previous.contains(log)),
        "{previous:?}"
    );
    rig.shut_down().await;
}
