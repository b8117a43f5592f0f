//! Functions that are saved and restored, and their snapshots in the API.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{SNAPSHOTS, told};
use crate::function::RESTORED;
use node::Retention;

use crate::rig::{IMAGE, Rig};

impl Rig {
    /// Calls until a snapshot is taken, and returns it. Each call is an answer more.
    async fn saved(&self, service: &str) -> Value {
        self.call(service).await;
        self.call(service).await;
        self.api
            .eventually("snapshots", |snapshots| !snapshots.is_empty())
            .await;
        self.api.list("snapshots").await.remove(0)
    }

    /// Ends the function that was started next to last, so that the next request starts another.
    async fn end_next(&self) {
        self.functions.next().await.listen().now();
        self.api
            .eventually("pods", |pods| {
                pods.iter().any(|pod| pod["status"]["phase"] == "Failed")
            })
            .await;
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.api.object(method, path, body).await
    }

    /// Asks for a snapshot.
    async fn take(&self, revision: &str) -> (u16, Value) {
        let wish = json!({"kind": "Snapshot", "apiVersion": "vhive.dev/v1", "spec": {"revision": revision}});
        self.ask(Method::POST, SNAPSHOTS, Some(&wish)).await
    }
}

fn name(snapshot: &Value) -> &str {
    snapshot["metadata"]["name"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_saved_after_its_second_answer_and_restored_when_it_is_called_again() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    assert_eq!(rig.call("hello").await.body, "/first");
    let snapshot = rig.saved("hello").await;
    assert_eq!(snapshot["spec"]["revision"], "hello-00001");
    assert_eq!(snapshot["status"]["restores"], 0);
    assert_eq!(rig.call("hello").await.body, "/first", "it goes on");

    rig.end_next().await;
    let answer = rig.call("hello").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, RESTORED));
    let snapshots = rig.api.list("snapshots").await;
    assert_eq!(snapshots.len(), 1);
    assert_eq!(name(&snapshots[0]), name(&snapshot));
    assert_eq!(snapshots[0]["status"]["restores"], 1);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_outlives_its_node() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    let snapshot = rig.saved("hello").await;
    let rig = Rig::on(rig.shut_down().await).await;
    assert_eq!(rig.call("hello").await.body, RESTORED);
    assert_eq!(name(&rig.api.list("snapshots").await[0]), name(&snapshot));
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_snapshots_neither_saves_nor_restores_and_leaves_what_there_is() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    let snapshot = rig.saved("hello").await;
    let rig = Rig::with(rig.shut_down().await, 0, Retention::default()).await;
    for _ in 0..3 {
        assert_eq!(rig.call("hello").await.body, "/first");
    }
    let (status, refusal) = rig.take("hello-00001").await;
    assert_eq!((status, &refusal["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        refusal["message"],
        "this node takes and uses no snapshots: it was started with --snapshot-after 0"
    );
    let left = rig.api.list("snapshots").await;
    assert_eq!((left.len(), name(&left[0])), (1, name(&snapshot)));
    assert_eq!(left[0]["status"]["restores"], 0);
    let rig = Rig::on(rig.shut_down().await).await;
    assert_eq!(rig.call("hello").await.body, RESTORED);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_leaves_the_length_of_a_file_is_found_by_verifying() {
    use std::os::unix::fs::FileExt as _;
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let (_, taken) = rig.take("hello-00001").await;
    let path = format!("{SNAPSHOTS}/{}/verify", name(&taken));
    let (status, whole) = rig.ask(Method::GET, &path, None).await;
    assert_eq!((status, &whole["status"]["damage"]), (200, &json!([])));

    let keys = rig.remains().data_dir().join("snapshots");
    let key = std::fs::read_dir(keys).unwrap().next().unwrap().unwrap();
    let memory = key.path().join(name(&taken)).join("memory");
    let memory = std::fs::File::options().write(true).open(memory).unwrap();
    memory.write_all_at(&[0xa5; 16], 200 << 20).unwrap();
    let (_, damaged) = rig.ask(Method::GET, &path, None).await;
    assert_eq!(
        damaged["status"]["damage"],
        json!([
            r#"the content of its file "memory" is not what was written: bytes 209715200 to 210763776"#
        ])
    );
    let absent = format!("{SNAPSHOTS}/absent/verify");
    assert_eq!(rig.ask(Method::GET, &absent, None).await.0, 404);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_while_a_function_is_saved_wait_and_are_answered() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    rig.habits.linger();
    for _ in 0..2 {
        rig.call("hello").await;
    }
    rig.habits.asked_to_leave().await;
    let waiting: Vec<_> = (0..5).map(|_| rig.begin_call("hello")).collect();
    // It is still the one that is counted on, so no other is started.
    let pods = rig.api.list("pods").await;
    assert_eq!(pods.len(), 1, "{pods:#?}");
    assert!(rig.api.list("snapshots").await.is_empty());
    assert!(!waiting.iter().any(tokio::task::JoinHandle::is_finished));
    rig.habits.leave();
    for call in waiting {
        let answer = call.await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "/first"));
    }
    rig.api.eventually("snapshots", |it| it.len() == 1).await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_is_no_failure_of_the_function() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    let snapshot = rig.saved("hello").await;
    rig.habits.perish(true);
    rig.end_next().await;
    let answer = rig.call("hello").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "/first"));
    for kind in ["revisions", "services"] {
        let object = &rig.api.list(kind).await[0];
        assert_eq!(told(object).0, "True", "{object:#}");
    }
    let path = format!("{SNAPSHOTS}/{}", name(&snapshot));
    assert_eq!(rig.ask(Method::GET, &path, None).await.0, 404);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_service_its_snapshots_are_deleted() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    rig.saved("hello").await;
    rig.deploy("other").await;
    let (status, other) = rig.take("other-00001").await;
    assert_eq!(status, 201, "{other}");
    rig.api.delete("hello").await;
    rig.api.eventually("snapshots", |it| it.len() == 1).await;
    let left = rig.api.list("snapshots").await;
    assert_eq!(name(&left[0]), name(&other));
    rig.api.delete("other").await;
    rig.api.eventually("snapshots", <[_]>::is_empty).await;
    let remains = rig.shut_down().await;
    assert_eq!(remains.names("snapshots"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_made_anew_under_its_old_name_is_not_restored_from_the_old() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    rig.saved("hello").await;
    rig.api.delete("hello").await;
    rig.deploy("hello").await;
    assert_eq!(rig.call("hello").await.body, "/first");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_whose_deletion_was_not_finished_are_removed_at_the_next_start() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    rig.saved("hello").await;
    let remains = rig.shut_down().await;
    assert_eq!(remains.names("snapshots").len(), 1);
    // What the store knows nothing of is what a deletion leaves that was cut short.
    std::fs::remove_file(remains.data_dir().join("store.redb")).unwrap();
    std::fs::create_dir(remains.data_dir().join("snapshots/.draft-left")).unwrap();
    let rig = Rig::on(remains).await;
    rig.api.eventually("snapshots", <[_]>::is_empty).await;
    assert_eq!(rig.shut_down().await.names("snapshots"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_taken_shown_and_removed_by_hand() {
    let rig = Rig::new().await;
    let (status, list) = rig.ask(Method::GET, SNAPSHOTS, None).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&list["kind"], &list["items"]),
        (&json!("SnapshotList"), &json!([]))
    );
    rig.deploy("hello").await;
    let (status, taken) = rig.take("hello-00001").await;
    assert_eq!(status, 201, "{taken}");
    assert_eq!(taken["kind"], "Snapshot");
    assert_eq!(taken["metadata"]["namespace"], "default");
    assert_eq!(taken["status"]["hypervisor"], "fake 1");
    assert_eq!(taken["status"]["memoryMiB"], 256);
    assert_eq!(taken["status"]["memoryBytes"], 256 << 20);

    let path = format!("{SNAPSHOTS}/{}", name(&taken));
    let (status, shown) = rig.ask(Method::GET, &path, None).await;
    assert_eq!((status, &shown), (200, &taken));
    let all = rig
        .ask(Method::GET, "/apis/vhive.dev/v1/snapshots", None)
        .await;
    assert_eq!(all.1["items"], json!([taken]));
    let elsewhere = path.replace("default", "elsewhere");
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(rig.ask(method, &elsewhere, None).await.0, 404);
    }
    assert_eq!(rig.call("hello").await.body, "/first", "it goes on");

    let (status, removed) = rig.ask(Method::DELETE, &path, None).await;
    assert_eq!((status, &removed["status"]), (200, &json!("Success")));
    assert!(rig.api.list("snapshots").await.is_empty());
    assert_eq!(rig.remains().names("snapshots"), [""; 0]);
    for method in [Method::GET, Method::DELETE] {
        let (status, refusal) = rig.ask(method, &path, None).await;
        assert_eq!(status, 404);
        assert_eq!(refusal["reason"], "NotFound");
        assert_eq!(
            refusal["message"],
            format!("snapshots.vhive.dev {:?} not found", name(&taken))
        );
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_saved_is_refused_by_name() {
    let rig = Rig::new().await;
    let (status, refusal) = rig.take("absent-00001").await;
    assert_eq!((status, &refusal["reason"]), (404, &json!("NotFound")));
    assert!(
        refusal["message"]
            .as_str()
            .unwrap()
            .contains("absent-00001")
    );

    let none = json!({"autoscaling.knative.dev/initial-scale": "0"});
    rig.api.create("hello", IMAGE, &none).await;
    rig.api.ready("hello").await;
    let (status, refusal) = rig.take("hello-00001").await;
    assert_eq!((status, &refusal["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        refusal["message"],
        "revision hello-00001 has no instance that can be saved: one that was booted, not restored, is ready, and began with \
         what its ConfigMaps and Secrets hold now"
    );

    // A clone is not saved either.
    rig.call("hello").await;
    assert_eq!(rig.take("hello-00001").await.0, 201);
    rig.end_next().await;
    assert_eq!(rig.call("hello").await.body, RESTORED);
    assert_eq!(rig.take("hello-00001").await.0, 409);

    for nonsense in [json!({}), json!({"spec": {"revision": 7}}), json!("words")] {
        let (status, refusal) = rig.ask(Method::POST, SNAPSHOTS, Some(&nonsense)).await;
        assert_eq!(
            (status, &refusal["kind"]),
            (400, &json!("Status")),
            "{nonsense}"
        );
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ready_for_a_while_is_not_saved_for_its_clones_would_not_be_either() {
    let rig = Rig::new().await;
    let probe = json!({"httpGet": {"path": "/ready"}, "periodSeconds": 1, "failureThreshold": 1});
    let template = json!({"spec": {"containers": [{"image": IMAGE, "readinessProbe": probe}]}});
    rig.api.create_from("hello", &template).await;
    rig.api.ready("hello").await;
    rig.habits.unready(true);
    rig.api
        .eventually("pods", |pods| {
            pods.len() == 1 && told(&pods[0]).0 == "False"
        })
        .await;
    let (status, refusal) = rig.take("hello-00001").await;
    assert_eq!((status, &refusal["reason"]), (409, &json!("Conflict")));
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_whose_requests_do_not_end_is_not_saved_and_goes_on() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    rig.habits.think();
    let waiting = rig.begin_call("hello");
    // Until the request has got there, it can be saved; and again once it is known to be back from that.
    let back = |refusal: &Value| {
        let message = refusal["message"].as_str().unwrap_or_default();
        !message.contains("has no instance that can be saved")
    };
    let refusal = loop {
        match rig.take("hello-00001").await {
            (201, _) => {}
            (409, refusal) if !back(&refusal) => {}
            (status, refusal) => break (status, refusal),
        }
    };
    assert_eq!((refusal.0, &refusal.1["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        refusal.1["message"],
        "the requests of revision hello-00001 did not end; try again when it is idle"
    );
    rig.habits.answer();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "/first"));
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_of_memory_that_there_is_not_is_named_in_a_condition() {
    let rig = Rig::new().await;
    let fast = json!({"vhive.dev/memory": "fast"});
    rig.api.create("hello", IMAGE, &fast).await;
    let refused = |it: &Value| {
        told(it)
            .2
            .contains("vhive.dev/memory: \"fast\" is none of auto, file, lazy and reap")
    };
    rig.api.until("revisions", "hello-00001", refused).await;
    rig.api
        .until("services", "hello", |it| told(it).0 == "False")
        .await;
    rig.shut_down().await;
}
