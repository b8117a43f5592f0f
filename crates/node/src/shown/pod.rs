//! An instance in the shape of a Pod (`k8s.io/api/core/v1`).

use sandbox::{Exit, Failure, Reason, State};
use serde_json::{Value, json};

use super::life::Life;
use super::seconds;
use super::template::Template;

/// How it was started: `boot` or `restored`.
const START: &str = "vhive.dev/start";
/// What it was restored from.
const SNAPSHOT: &str = "vhive.dev/snapshot";
/// The hypervisor's process.
const PID: &str = "vhive.dev/pid";
/// What a container that could not be started has as its exit code, from Docker on.
const NEVER_RAN: i32 = 128;

/// The Pod of an instance on the node `host`. It has no address: all guests look alike inside, and only the gateway reaches them.
pub(super) fn object(template: &Template, life: &Life, host: &str) -> Value {
    let mut annotations = template.annotations.clone();
    let mut annotate = |name: &str, value: String| annotations.insert(name.to_owned(), value);
    annotate(START, life.start().to_owned());
    if let Some(snapshot) = &life.snapshot {
        annotate(SNAPSHOT, snapshot.clone());
    }
    if let Some(pid) = life.sight.pid {
        annotate(PID, pid.to_string());
    }
    let mut spec = template.spec.clone();
    spec["nodeName"] = host.into();
    let mut metadata = json!({
        "name": life.id,
        "namespace": template.namespace,
        "uid": life.uid,
        "creationTimestamp": seconds(life.created),
        "labels": template.labels,
        "annotations": annotations,
        "ownerReferences": [template.owner],
    });
    // One that failed is not on its way out: it is there for its log.
    let failed = matches!(life.sight.state, State::Failed(_));
    if let Some(leaving) = life.leaving_since
        && !failed
    {
        metadata["deletionTimestamp"] = seconds(leaving).into();
        metadata["deletionGracePeriodSeconds"] = spec["terminationGracePeriodSeconds"].clone();
    }
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": spec,
        "status": status(template, life),
    })
}

fn status(template: &Template, life: &Life) -> Value {
    let serving = life.sight.serving;
    let condition = |kind: &str, holds: bool, since| {
        json!({
            "type": kind, "status": status_of(holds), "lastProbeTime": null, "lastTransitionTime": seconds(since),
        })
    };
    let mut ready = [
        condition("Ready", serving, life.serving_changed),
        condition("ContainersReady", serving, life.serving_changed),
    ];
    if !serving {
        for condition in &mut ready {
            condition["reason"] = "ContainersNotReady".into();
            condition["message"] =
                format!("containers with unready status: [{}]", template.container).into();
        }
    }
    let [ready, containers_ready] = ready;
    let started = matches!(
        life.sight.state,
        State::Ready | State::Saving | State::Draining
    ) && life.ready_since.is_some();
    let mut status = json!({
        "phase": phase(&life.sight.state),
        "conditions": [
            condition("Initialized", true, life.created),
            ready,
            containers_ready,
            condition("PodScheduled", true, life.created),
        ],
        "containerStatuses": [{
            "name": template.container,
            "image": template.image,
            "imageID": life.image_id,
            "containerID": format!("vhive://{}", life.id),
            "ready": serving,
            "started": started,
            "restartCount": 0,
            "state": container_state(life),
            "lastState": {},
        }],
        "startTime": seconds(life.created),
        "qosClass": "Burstable",
    });
    if let State::Failed(failure) = &life.sight.state {
        status["reason"] = failure.reason.name().into();
        status["message"] = failure.message.as_str().into();
    }
    status
}

/// The phase of a Pod that an instance is shown as.
pub(super) fn phase(state: &State) -> &'static str {
    match state {
        State::Pending | State::Starting => "Pending",
        State::Ready | State::Saving | State::Draining => "Running",
        State::Stopped => "Succeeded",
        State::Failed(_) => "Failed",
    }
}

/// The status of a condition.
pub(super) fn status_of(holds: bool) -> &'static str {
    if holds { "True" } else { "False" }
}

fn container_state(life: &Life) -> Value {
    match (&life.sight.state, life.ready_since) {
        (State::Failed(failure), _) => json!({"terminated": terminated(failure, life)}),
        (State::Ready | State::Saving | State::Draining, Some(since)) => {
            json!({"running": {"startedAt": seconds(since)}})
        }
        _ => json!({"waiting": {"reason": "ContainerCreating"}}),
    }
}

/// In the words of kubelets: `Error` and `Completed` for programs that ended, `OOMKilled`, and for what they do not know, ours.
fn terminated(failure: &Failure, life: &Life) -> Value {
    let (reason, exit) = match failure.reason {
        Reason::Exited(exit) | Reason::ExitedEarly(exit) if exit.code == Some(0) => {
            ("Completed", exit)
        }
        Reason::Exited(exit) | Reason::ExitedEarly(exit) => ("Error", exit),
        Reason::OutOfMemory => (
            "OOMKilled",
            Exit {
                code: None,
                signal: Some(9),
            },
        ),
        reason => (reason.name(), Exit::default()),
    };
    let code = exit.code.or(exit.signal.map(|signal| 128 + signal));
    let mut terminated = json!({
        "exitCode": code.unwrap_or(NEVER_RAN),
        "reason": reason,
        "message": failure.message,
        "containerID": format!("vhive://{}", life.id),
        "startedAt": seconds(life.ready_since.unwrap_or(life.created)),
    });
    if let Some(signal) = exit.signal {
        terminated["signal"] = signal.into();
    }
    if let Some(ended) = life.ended {
        terminated["finishedAt"] = seconds(ended).into();
    }
    terminated
}

#[cfg(test)]
mod tests {
    use api::serving::Revision;

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
                    "resources": {"limits": {"memory": "128Mi"}},
                }],
            },
        }))
        .unwrap();
        Template::of(&revision)
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
            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "resources": {"limits": {"memory": "128Mi"}},
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
}
