//! Functions that end when they should not.

use serde_json::json;

use crate::client::told;
use crate::rig::{IMAGE, LONG, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_the_successor_of_an_instance_that_crashed_once() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let first = rig.functions.next().await.listen();
    rig.habits.wait(true);
    first.now();
    rig.api
        .eventually("pods", |pods| {
            pods.iter().any(|pod| pod["status"]["phase"] == "Failed")
        })
        .await;
    let waiting = rig.begin_call("hello");
    rig.functions.next().await.listen();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "/first"));
    // It was ready all the time, as far as anybody was told.
    let revision = &rig.api.list("revisions").await[0];
    assert_eq!(told(revision).0, "True");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_somebody_kills_is_replaced_at_once_however_often() {
    let rig = Rig::new().await;
    let one = json!({"autoscaling.knative.dev/min-scale": "1"});
    rig.api.create("hello", IMAGE, &one).await;
    rig.api.ready("hello").await;
    // The third successor of a function that had crashed so often would come after 14 s, and requests be refused meanwhile.
    for _ in 0..4 {
        rig.functions.next().await.listen();
        let process = std::cell::Cell::new(0);
        rig.api
            .eventually("pods", |pods| {
                let mut ready = pods.iter().filter(|pod| told(pod).0 == "True");
                let pid =
                    ready.find_map(|pod| pod["metadata"]["annotations"]["vhive.dev/pid"].as_str());
                process.set(pid.map_or(0, |pid| pid.parse().unwrap()));
                process.get() != 0
            })
            .await;
        assert_eq!(rig.call("hello").await.status, 200);
        let process = sys::process::ProcessId::of(process.get()).unwrap();
        tokio::task::spawn_blocking(move || process.kill_and_wait(LONG).unwrap())
            .await
            .unwrap();
    }
    rig.functions.next().await.listen();
    let events = rig.api.text("/api/v1/namespaces/default/events").await;
    assert!(!events.contains("BackOff"), "{events}");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_crashes_again_and_again_is_refused_until_its_next_try() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    // One that nobody has called for a while is not started again when it ends.
    assert_eq!(rig.call("hello").await.status, 200);
    let first = rig.functions.next().await.listen();
    rig.habits.crash(true);
    first.now();
    let revision = rig
        .api
        .until("revisions", "hello-00001", |revision| {
            told(revision).1 == "CrashLoopBackOff"
        })
        .await;
    let message = told(&revision).2;
    assert!(message.contains("exited with code 3"), "{message}");
    // Between two tries it waits ever longer, so there is a request that finds it waiting.
    let refused = loop {
        let answer = rig.call("hello").await;
        if answer.retry_after.is_some() {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    for part in ["tried again in", "ExitCode3", "exited with code 3"] {
        assert!(refused.body.contains(part), "{part}: {}", refused.body);
    }
    rig.habits.crash(false);
    // The status may still be that of a try before, which was ready for a moment: the next try is what counts.
    let answered = async { while rig.call("hello").await.status != 200 {} };
    tokio::time::timeout(LONG, answered)
        .await
        .expect("it answers again");
    rig.api.ready("hello").await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_became_ready_in_its_time_is_tried_again_when_a_request_comes() {
    let rig = Rig::new().await;
    rig.habits.crash(true);
    let soon = json!({"serving.knative.dev/progress-deadline": "1s"});
    rig.api.create("hello", IMAGE, &soon).await;
    let given_up = |revision: &serde_json::Value| {
        let (status, _, message) = told(revision);
        let crashed = status == "False" && message.contains("exited with code 3");
        crashed && revision["status"]["desiredReplicas"] == 0
    };
    rig.api.until("revisions", "hello-00001", given_up).await;
    rig.habits.crash(false);
    // In a pause it is refused, and remembered; after it, it is waited for.
    while rig.call("hello").await.status != 200 {}
    rig.api.ready("hello").await;
    rig.shut_down().await;
}
