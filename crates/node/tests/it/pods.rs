//! Instances as Pods, what happened to them as Events, and routes as Services.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::rig::{IMAGE, LONG, Rig};

const CORE: &str = "/api/v1/namespaces/default";
const INSTANCES: &str = "/apis/vhive.dev/v1/namespaces/default/instances";

impl Rig {
    async fn items(&self, path: &str) -> Vec<Value> {
        let (code, mut list) = self.api.object(Method::GET, path, None).await;
        assert_eq!(code, 200, "{path}: {list}");
        serde_json::from_value(list["items"].take()).unwrap()
    }

    /// Looks at a list until it is as it should be.
    async fn shows(&self, path: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let looking = async {
            loop {
                let items = self.items(path).await;
                if holds(&items) {
                    return items;
                }
            }
        };
        match timeout(LONG, looking).await {
            Ok(items) => items,
            Err(late) => panic!(
                "{path} never came to be so, {late}: {:#?}",
                self.items(path).await
            ),
        }
    }

    /// Waits until there are events of an object with all these reasons.
    async fn told(&self, object: &str, reasons: &[&str]) {
        let path = format!("{CORE}/events?fieldSelector=involvedObject.name%3D{object}");
        self.shows(&path, |events| {
            reasons
                .iter()
                .all(|reason| events.iter().any(|event| event["reason"] == *reason))
        })
        .await;
    }

    async fn delete_pod(&self, name: &str, options: &Value) -> (u16, Value) {
        let path = format!("{CORE}/pods/{name}");
        self.api.object(Method::DELETE, &path, Some(options)).await
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    conditions
        .iter()
        .any(|it| it["type"] == "Ready" && it["status"] == "True")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_a_pod_of_its_revision() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let pods = format!(
        "{CORE}/pods?labelSelector=serving.knative.dev%2Fservice%3Dhello,app%3Dhello-00001"
    );
    let pod = rig
        .shows(&pods, |it| it.len() == 1 && is_ready(&it[0]))
        .await
        .remove(0);
    assert!(name(&pod).starts_with("hello-00001-deployment-"), "{pod:#}");
    let owner = &pod["metadata"]["ownerReferences"][0];
    let revision = &rig.api.list("revisions").await[0];
    assert_eq!(owner["uid"], revision["metadata"]["uid"]);
    assert_eq!(pod["metadata"]["annotations"]["vhive.dev/start"], "boot");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        (&container["name"], &container["image"]),
        (&json!("user-container"), &json!(IMAGE))
    );
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(
        (&status["ready"], &status["restartCount"]),
        (&json!(true), &json!(0))
    );
    assert!(
        status["imageID"].as_str().unwrap().contains("@sha256:"),
        "{status}"
    );
    assert!(
        status["state"]["running"]["startedAt"].is_string(),
        "{status}"
    );

    // Who has seen it sees it go.
    let path = format!(
        "{CORE}/pods?watch=true&resourceVersion={}",
        pod["metadata"]["resourceVersion"].as_str().unwrap()
    );
    rig.api.delete("hello").await;
    rig.shows(&format!("{CORE}/pods"), <[_]>::is_empty).await;
    let gone = rig
        .api
        .watch(&path, |event| event["type"] == "DELETED")
        .await;
    assert_eq!(name(&gone["object"]), name(&pod));
    assert!(rig.items(INSTANCES).await.is_empty());
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_of_the_pod_the_revision_and_the_service() {
    let rig = Rig::saving_after(2).await;
    rig.deploy("hello").await;
    let pod = rig.api.list("pods").await.remove(0);
    rig.told(name(&pod), &["Created", "Started", "Ready"]).await;
    for _ in 0..2 {
        rig.call("hello").await;
    }
    let of_revision = [
        "ImagePulled",
        "ScalingReplicaSet",
        "RevisionReady",
        "SnapshotSaved",
    ];
    rig.told("hello-00001", &of_revision).await;
    rig.told(
        "hello",
        &[
            "Created",
            "ConfigurationReady",
            "LatestReadyUpdate",
            "ServiceReady",
        ],
    )
    .await;

    // As kubectl describe looks for them.
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let path =
        format!("{CORE}/events?fieldSelector=involvedObject.kind%3DPod,involvedObject.uid%3D{uid}");
    let events = rig.items(&path).await;
    assert!(
        events
            .iter()
            .all(|it| it["involvedObject"]["name"] == pod["metadata"]["name"])
    );
    assert!(events.iter().any(|it| it["reason"] == "Started"));

    // Once it has ended, the next is restored.
    rig.functions.next().await.listen().now();
    rig.told(name(&pod), &["Failed"]).await;
    rig.call("hello").await;
    let restored = rig
        .shows(&format!("{CORE}/pods"), |pods| pods.iter().any(is_ready))
        .await
        .into_iter()
        .find(is_ready)
        .unwrap();
    assert_eq!(
        restored["metadata"]["annotations"]["vhive.dev/start"],
        "restored"
    );
    rig.told(name(&restored), &["Restored"]).await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_function_crashed_stays_with_its_log_and_its_exit_code() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    // One that nobody has called for a while is not started again when it ends.
    assert_eq!(rig.call("hello").await.status, 200);
    rig.habits.crash(true);
    rig.functions.next().await.listen().now();
    let failed = |pods: &[Value]| pods.iter().any(|it| it["status"]["phase"] == "Failed");
    let pods = rig.shows(&format!("{CORE}/pods"), failed).await;
    let pod = pods
        .iter()
        .find(|it| it["status"]["phase"] == "Failed")
        .unwrap();
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&terminated["reason"], &terminated["exitCode"]),
        (&json!("Error"), &json!(3))
    );
    assert_eq!(
        rig.api.log(name(pod)).await,
        format!("{} begins\n", name(pod))
    );
    rig.told("hello-00001", &["BackOff"]).await;

    // Deleting it removes what is left.
    let before = rig.remains().names("logs").len();
    assert_eq!(rig.delete_pod(name(pod), &json!({})).await.0, 200);
    rig.shows(&format!("{CORE}/pods"), |pods| {
        !pods.iter().any(|it| name(it) == name(pod))
    })
    .await;
    assert!(
        !rig.remains()
            .names("logs")
            .contains(&format!("default_{}.log", name(pod))),
        "{before}"
    );
    rig.shut_down().await;
}

/// What the container of a Pod waits for.
fn waits_for(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_image_is_not_to_be_had_is_a_pod_that_says_so() {
    let rig = Rig::new().await;
    let none = json!({});
    rig.api.create("hello", "dev.local/nothing", &none).await;
    let pods = format!("{CORE}/pods");
    let failing =
        |pods: &[Value]| pods.len() == 1 && *waits_for(&pods[0]) == json!("ImagePullBackOff");
    let pod = rig.shows(&pods, failing).await.remove(0);
    assert_eq!(pod["status"]["phase"], "Pending");
    rig.told(name(&pod), &["Failed"]).await;
    let path = format!("{pods}/{}/log", name(&pod));
    let (code, status) = rig.api.object(Method::GET, &path, None).await;
    let message = format!(
        "container \"user-container\" in pod \"{}\" is waiting to start: trying and failing to pull image",
        name(&pod)
    );
    assert_eq!((code, &status["message"]), (400, &json!(message)));

    // Deleting it helps nothing: another waits.
    assert_eq!(rig.delete_pod(name(&pod), &json!({})).await.0, 200);
    rig.shows(&pods, |pods| failing(pods) && name(&pods[0]) != name(&pod))
        .await;
    rig.api.delete("hello").await;
    rig.shows(&pods, <[_]>::is_empty).await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_takes_the_pod_that_waited_for_what_it_is_given() {
    let rig = Rig::new().await;
    let service = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "hello"},
        "spec": {"template": {"spec": {"containers": [{
            "image": IMAGE, "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        }]}}},
    });
    let path = "/apis/serving.knative.dev/v1/namespaces/default/services";
    let (code, refused) = rig.api.object(Method::POST, path, Some(&service)).await;
    assert_eq!(code, 201, "{refused}");
    let pods = format!("{CORE}/pods");
    let waiting = rig
        .shows(&pods, |pods| {
            pods.len() == 1 && *waits_for(&pods[0]) == json!("CreateContainerConfigError")
        })
        .await
        .remove(0);
    let secret = json!({
        "kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "stringData": {"k": "hidden"},
    });
    let (code, refused) = rig
        .api
        .object(Method::POST, &format!("{CORE}/secrets"), Some(&secret))
        .await;
    assert_eq!(code, 201, "{refused}");
    let pod = rig
        .shows(&pods, |pods| pods.len() == 1 && is_ready(&pods[0]))
        .await
        .remove(0);
    for field in ["name", "uid", "creationTimestamp"] {
        assert_eq!(pod["metadata"][field], waiting["metadata"][field]);
    }
    assert!(!pod.to_string().contains("hidden"), "{pod:#}");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_tries_a_pod_waits_and_has_the_log_of_its_predecessor() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    // One that nobody has called for a while is not started again when it ends.
    assert_eq!(rig.call("hello").await.status, 200);
    rig.habits.crash(true);
    rig.functions.next().await.listen().now();
    let pods = format!("{CORE}/pods");
    let waits = |pod: &&Value| *waits_for(pod) == json!("CrashLoopBackOff");
    let found = rig
        .shows(&pods, |pods| pods.iter().any(|pod| waits(&pod)))
        .await;
    let pod = found.iter().find(waits).unwrap();
    let status = &pod["status"]["containerStatuses"][0];
    let last = &status["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"]),
        (&json!("Error"), &json!(3))
    );
    assert!(status["restartCount"].as_u64().unwrap() >= 1, "{status}");
    let container = last["containerID"].as_str().unwrap();
    let predecessor = container.strip_prefix("vhive://").unwrap();
    let said = format!("{predecessor} begins\n");
    for query in ["", "?previous=true", "?follow=true"] {
        let path = format!("{pods}/{}/log{query}", name(pod));
        assert_eq!(rig.api.text(&path).await, said, "{query}");
    }
    // It is the next try.
    rig.habits.crash(false);
    let answered = async { while rig.call("hello").await.status != 200 {} };
    timeout(LONG, answered).await.expect("it answers again");
    let ready = rig
        .shows(&pods, |pods| pods.iter().any(is_ready))
        .await
        .into_iter()
        .find(is_ready)
        .unwrap();
    let restarts = ready["status"]["containerStatuses"][0]["restartCount"].as_u64();
    assert!(restarts >= Some(1), "{ready:#}");
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_is_starting_has_its_own_log_and_that_of_the_one_before() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let first = rig.api.list("pods").await.remove(0);
    // One that nobody has called for a while is not started again when it ends.
    assert_eq!(rig.call("hello").await.status, 200);
    rig.habits.wait(true);
    rig.functions.next().await.listen().now();
    let second = rig.functions.next().await;
    let pods = format!("{CORE}/pods");
    let starting = |pod: &&Value| *waits_for(pod) == json!("ContainerCreating");
    let found = rig
        .shows(&pods, |pods| pods.iter().any(|pod| starting(&pod)))
        .await;
    let pod = found.iter().find(starting).unwrap();
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1);
    let path = format!("{pods}/{}/log", name(pod));
    let said = |pod: &Value| format!("{} begins\n", name(pod));
    // Until it has printed something, that is the same.
    let own = async { while rig.api.text(&path).await != said(pod) {} };
    timeout(LONG, own).await.expect("its own log");
    let previous = rig.api.text(&format!("{path}?previous=true")).await;
    assert_eq!(previous, said(&first));
    second.listen();
    rig.shows(&pods, |pods| {
        pods.iter().any(|it| name(it) == name(pod) && is_ready(it))
    })
    .await;
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_into_a_pod_and_the_refusal_says_what_there_is() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let pod = rig.api.list("pods").await.remove(0);
    for (subresource, advice) in [
        ("exec", "kubectl logs"),
        ("attach", "kubectl logs -f"),
        ("portforward", "vhive invoke"),
    ] {
        let path = format!("{CORE}/pods/{}/{subresource}", name(&pod));
        let (code, status) = rig.api.object(Method::POST, &path, None).await;
        let message = status["message"].as_str().unwrap();
        assert_eq!(code, 405);
        assert!(message.contains(advice), "{message}");
    }
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_ends_and_another_takes_its_place() {
    let rig = Rig::new().await;
    let one = json!({"autoscaling.knative.dev/min-scale": "1"});
    rig.api.create("hello", IMAGE, &one).await;
    rig.api.ready("hello").await;
    let pod = rig.api.list("pods").await.remove(0);
    // Who follows its log is there until its end.
    let (api, path) = (
        rig.api.clone(),
        format!("{CORE}/pods/{}/log?follow=true", name(&pod)),
    );
    let following = tokio::spawn(async move { api.text(&path).await });
    let (code, leaving) = rig
        .delete_pod(name(&pod), &json!({"gracePeriodSeconds": 0}))
        .await;
    assert_eq!((code, name(&leaving)), (200, name(&pod)));
    let pods = rig
        .shows(&format!("{CORE}/pods"), |pods| {
            pods.len() == 1 && is_ready(&pods[0]) && name(&pods[0]) != name(&pod)
        })
        .await;
    let begins = format!("{} begins\n", name(&pod));
    assert_eq!(timeout(LONG, following).await.unwrap().unwrap(), begins);
    rig.told(name(&pod), &["Killing"]).await;
    // It is a Pod no more, and an instance that has ended.
    let instances = rig.items(INSTANCES).await;
    let phase = |pod: &Value| {
        let found = instances.iter().find(|it| name(it) == name(pod)).unwrap();
        found["status"]["phase"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (phase(&pod).as_str(), phase(&pods[0]).as_str()),
        ("Succeeded", "Running")
    );
    assert_eq!(rig.api.log(name(&pod)).await, begins);
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_asked_for_and_refused_as_kubelets_do() {
    let rig = Rig::new().await;
    rig.deploy("hello").await;
    let pod = rig.api.list("pods").await.remove(0);
    let name = name(&pod);
    let log = format!("{CORE}/pods/{name}/log");
    let begins = format!("{name} begins\n");
    for query in [
        "container=user-container",
        "tailLines=1&sinceSeconds=3600",
        "limitBytes=10000",
        "stream=Stdout",
    ] {
        assert_eq!(
            rig.api.text(&format!("{log}?{query}")).await,
            begins,
            "{query}"
        );
    }
    assert_eq!(
        rig.api.text(&format!("{log}?limitBytes=5")).await,
        begins[..5]
    );
    assert_eq!(rig.api.text(&format!("{log}?tailLines=0")).await, "");
    let stamped = rig.api.text(&format!("{log}?timestamps=true")).await;
    assert!(stamped.ends_with(&format!("Z {begins}")), "{stamped}");
    for (query, code, message) in [
        (
            "container=queue-proxy",
            400,
            format!("container queue-proxy is not valid for pod {name}"),
        ),
        (
            "previous=true",
            400,
            format!("previous terminated container \"user-container\" in pod \"{name}\" not found"),
        ),
        (
            "tailLines=-1",
            422,
            format!(
                "PodLogOptions \"{name}\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"
            ),
        ),
    ] {
        let (found, status) = rig
            .api
            .object(Method::GET, &format!("{log}?{query}"), None)
            .await;
        assert_eq!((found, &status["message"]), (code, &json!(message)));
    }
    let (code, status) = rig
        .api
        .object(Method::GET, &format!("{CORE}/pods/none/log"), None)
        .await;
    assert_eq!(
        (code, &status["message"]),
        (404, &json!("pods \"none\" not found"))
    );
    rig.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_a_service_that_names_its_host() {
    let rig = Rig::new().await;
    let none = json!({"autoscaling.knative.dev/initial-scale": "0"});
    rig.api.create("hello", IMAGE, &none).await;
    rig.api.ready("hello").await;
    let path = format!("{CORE}/services");
    let service = rig.shows(&path, |it| it.len() == 1).await.remove(0);
    assert_eq!(name(&service), "hello");
    assert_eq!(
        (&service["spec"]["type"], &service["spec"]["externalName"]),
        (&json!("ExternalName"), &json!("hello.default.test"))
    );
    assert_eq!(service["metadata"]["ownerReferences"][0]["kind"], "Route");
    rig.api.delete("hello").await;
    rig.shows(&path, <[_]>::is_empty).await;
    rig.shut_down().await;
}
