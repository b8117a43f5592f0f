//! Pods as they are made from the states of instances.

use api::serving::Revision;

use sandbox::{Failure, Reason};

use super::*;
use crate::shown::life::tests::{crashed, life};

fn template() -> Template {
    let revision: Revision = serde_json::from_value(json!({
        "metadata": {
            "name": "hello-00001", "namespace": "default", "uid": "uid-of-revision",
            "labels": {
                "serving.knative.dev/service": "hello", "serving.knative.dev/configuration": "hello",
                "serving.knative.dev/routingState": "active",
            },
            "annotations": {"serving.knative.dev/routes": "hello", "autoscaling.knative.dev/target": "1"},
        },
        "spec": {
            "timeoutSeconds": 10,
            "runtimeClassName": "vhive",
            "containers": [{
                "image": "dev.local/hello", "ports": [{"containerPort": 8080}],
                "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "resources": {"limits": {"memory": "128Mi"}}, "readinessProbe": {"tcpSocket": {"port": 0}},
            }],
        },
    }))
    .unwrap();
    Template::of(&revision).given(&[("K_SERVICE", "hello".into())], 8080)
}

fn pod(life: &Life) -> Value {
    object(&template(), life, "here")
}

#[test]
fn a_pod_says_whose_it_is_and_what_runs_in_it() {
    let pod = pod(&life(State::Ready));
    let labels = json!({
        "serving.knative.dev/service": "hello", "serving.knative.dev/configuration": "hello",
        "serving.knative.dev/revision": "hello-00001", "serving.knative.dev/revisionUID": "uid-of-revision",
        "app": "hello-00001",
    });
    assert_eq!(pod["metadata"]["labels"], labels);
    let annotations = json!({"autoscaling.knative.dev/target": "1", "vhive.dev/start": "boot", "vhive.dev/pid": "7"});
    assert_eq!(pod["metadata"]["annotations"], annotations);
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"], &owner["uid"]),
        (
            &json!("Revision"),
            &json!("hello-00001"),
            &json!("uid-of-revision")
        )
    );
    let container = json!({
        "name": "user-container", "image": "dev.local/hello",
        "ports": [{"name": "user-port", "containerPort": 8080, "protocol": "TCP"}],
        "env": [
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "K_SERVICE", "value": "hello"},
        ],
        "resources": {"limits": {"memory": "128Mi"}}, "readinessProbe": {"tcpSocket": {"port": 8080}},
    });
    assert_eq!(pod["spec"]["containers"][0], container);
    assert_eq!(pod["spec"]["nodeName"], "here");
    assert_eq!(pod["spec"]["runtimeClassName"], "vhive");
}

#[test]
fn a_pod_is_ready_while_its_instance_is_given_requests() {
    let ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|it| it["type"] == "Ready").unwrap();
        (
            ready["status"].as_str().unwrap().to_owned(),
            pod["status"]["containerStatuses"][0]["ready"]
                .as_bool()
                .unwrap(),
        )
    };
    let serving = pod(&life(State::Ready));
    assert_eq!(ready(&serving), ("True".to_owned(), true));
    assert_eq!(
        serving["status"]["containerStatuses"][0]["state"]["running"]["startedAt"],
        "2026-01-02T03:04:06Z"
    );
    let mut leaving = life(State::Ready);
    leaving.sight.serving = false;
    leaving.sight.leaving = true;
    leaving.leaving_since = Some("2026-01-02T03:06:00Z".parse().unwrap());
    let leaving = pod(&leaving);
    assert_eq!(ready(&leaving), ("False".to_owned(), false));
    assert_eq!(leaving["status"]["phase"], "Running");
    assert_eq!(
        leaving["metadata"]["deletionTimestamp"],
        "2026-01-02T03:06:00Z"
    );
    assert_eq!(leaving["metadata"]["deletionGracePeriodSeconds"], 10);
}

#[test]
fn a_failure_is_told_in_the_words_of_kubelets() {
    let state = |life: &Life| {
        let pod = pod(life);
        assert_eq!(pod["status"]["phase"], "Failed");
        pod["status"]["containerStatuses"][0]["state"]["terminated"].clone()
    };
    let error = state(&life(crashed()));
    assert_eq!(
        (&error["reason"], &error["exitCode"], &error["finishedAt"]),
        (&json!("Error"), &json!(3), &json!("2026-01-02T03:05:00Z"))
    );
    let failed = |reason| {
        life(State::Failed(Failure {
            reason,
            message: String::new(),
            exit_code: None,
        }))
    };
    let memory = state(&failed(Reason::OutOfMemory));
    assert_eq!(
        (&memory["reason"], &memory["exitCode"], &memory["signal"]),
        (&json!("OOMKilled"), &json!(137), &json!(9))
    );
    let silent = state(&failed(Reason::NeverListened));
    assert_eq!(
        (&silent["reason"], &silent["exitCode"]),
        (&json!("NeverListened"), &json!(128))
    );
}

/// Of the container: what it does, why, and how its predecessor ended.
fn container_of(pod: &Value) -> (&str, &Value, &Value) {
    let status = &pod["status"]["containerStatuses"][0];
    let (does, how) = status["state"].as_object().unwrap().iter().next().unwrap();
    (does, &how["reason"], &status["lastState"])
}

#[test]
fn a_state_is_a_phase_and_something_that_the_container_does() {
    for (state, phase, does, reason) in [
        (
            State::Pending,
            "Pending",
            "waiting",
            json!("ContainerCreating"),
        ),
        (
            State::Starting,
            "Pending",
            "waiting",
            json!("ContainerCreating"),
        ),
        (State::Ready, "Running", "running", json!(null)),
        (State::Saving, "Running", "running", json!(null)),
        (State::Draining, "Running", "running", json!(null)),
        (crashed(), "Failed", "terminated", json!("Error")),
    ] {
        let pod = pod(&life(state.clone()));
        assert_eq!(pod["status"]["phase"], phase, "{state:?}");
        let (found, why, last) = container_of(&pod);
        assert_eq!((found, why, last), (does, &reason, &json!({})), "{state:?}");
        let started = &pod["status"]["containerStatuses"][0]["started"];
        assert_eq!(started, &json!(does == "running"), "{state:?}");
    }
}

#[test]
fn whoever_takes_the_place_of_a_failed_instance_knows_how_it_ended() {
    let first = life(crashed()).ending().unwrap();
    let second = Life {
        id: "second".to_owned(),
        predecessor: Some(first),
        ..life(crashed())
    };
    let third = Life {
        predecessor: second.ending(),
        ..life(State::Ready)
    };
    let pod = pod(&third);
    let (does, _, last) = container_of(&pod);
    assert_eq!(does, "running");
    assert_eq!(
        last["terminated"],
        json!({
            "exitCode": 3, "reason": "Error", "message": "exited with code 3", "containerID": "vhive://second",
            "startedAt": "2026-01-02T03:04:06Z", "finishedAt": "2026-01-02T03:05:00Z",
        })
    );
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 2);
    assert_eq!(life(State::Ready).ending(), None);
}

#[test]
fn an_instance_that_is_not_there_yet_says_what_it_waits_for() {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let place = Place::new("next".to_owned(), at);
    let last = life(crashed()).ending();
    let why = || "it is not there".to_owned();
    for (obstacle, reason, message) in [
        (
            Obstacle::Image("dev.local/hello".to_owned()),
            "ContainerCreating",
            "Pulling image \"dev.local/hello\"",
        ),
        (
            Obstacle::NoImage(why()),
            "ImagePullBackOff",
            "it is not there",
        ),
        (
            Obstacle::Config(why()),
            "CreateContainerConfigError",
            "it is not there",
        ),
        (
            Obstacle::Pause(at),
            "CrashLoopBackOff",
            "Back-off restarting failed container until 2026-01-02T03:04:05Z",
        ),
    ] {
        let pod = waiting(&template(), &place, (&obstacle, last.as_ref()), "here");
        assert_eq!(
            (&pod["metadata"]["name"], &pod["status"]["phase"]),
            (&json!("next"), &json!("Pending"))
        );
        let (does, found, last) = container_of(&pod);
        assert_eq!((does, found), ("waiting", &json!(reason)));
        assert_eq!(last["terminated"]["exitCode"], 3);
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["state"]["waiting"]["message"], message);
        assert_eq!(status["restartCount"], 1);
    }
}

#[test]
fn without_memory_for_it_a_pod_is_on_no_node() {
    let place = Place::new("next".to_owned(), Timestamp::UNIX_EPOCH);
    let pod = waiting(&template(), &place, (&Obstacle::Memory, None), "here");
    assert_eq!(pod["spec"].get("nodeName"), None);
    let status = &pod["status"];
    assert_eq!(
        (&status["phase"], status.get("containerStatuses")),
        (&json!("Pending"), None)
    );
    let conditions = status["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 1);
    assert_eq!(
        (
            &conditions[0]["type"],
            &conditions[0]["status"],
            &conditions[0]["reason"]
        ),
        (
            &json!("PodScheduled"),
            &json!("False"),
            &json!("Unschedulable")
        )
    );
}

#[test]
fn nothing_of_a_secret_is_in_a_pod_but_where_it_is() {
    let pod = pod(&life(State::Ready));
    let variable = &pod["spec"]["containers"][0]["env"][0];
    assert_eq!(variable.get("value"), None);
    assert_eq!(variable["valueFrom"]["secretKeyRef"]["name"], "s");
}
