//! An instance in the shape of a Pod (`k8s.io/api/core/v1`).

use jiff::Timestamp;
use sandbox::State;
use serde_json::{Value, json};

use super::life::{Ended, Life};
use super::template::Template;
use super::waiting::{Obstacle, Place};
use super::{container, seconds};

/// How it was started: `boot` or `restored`.
const START: &str = "vhive.dev/start";
/// What it was restored from.
const SNAPSHOT: &str = "vhive.dev/snapshot";
/// The hypervisor's process.
const PID: &str = "vhive.dev/pid";

/// The Pod of an instance on the node `host`. It has no address: all guests look alike inside, and only the gateway reaches them.
pub(super) fn object(template: &Template, life: &Life, host: &str) -> Value {
    let mut pod = frame(template, (&life.id, &life.uid, life.created), Some(host));
    let annotations = &mut pod["metadata"]["annotations"];
    annotations[START] = life.start().into();
    if let Some(snapshot) = &life.snapshot {
        annotations[SNAPSHOT] = snapshot.as_str().into();
    }
    if let Some(pid) = life.sight.pid {
        annotations[PID] = pid.to_string().into();
    }
    // One that failed is not on its way out: it is there for its log.
    let failed = matches!(life.sight.state, State::Failed(_));
    if let Some(leaving) = life.leaving_since
        && !failed
    {
        let grace = pod["spec"]["terminationGracePeriodSeconds"].clone();
        pod["metadata"]["deletionTimestamp"] = seconds(leaving).into();
        pod["metadata"]["deletionGracePeriodSeconds"] = grace;
    }
    pod["status"] = status(template, life);
    pod
}

/// The Pod of an instance that is not started for this reason, and takes the place of one that ended so.
pub(super) fn waiting(
    template: &Template,
    place: &Place,
    (obstacle, last): (&Obstacle, Option<&Ended>),
    host: &str,
) -> Value {
    let known = (place.id.as_str(), place.uid.as_str(), place.created);
    let since = place.created;
    let reason = obstacle.reason();
    let mut pod = frame(template, known, reason.map(|_| host));
    let mut scheduled = condition("PodScheduled", reason.is_some(), since);
    let Some(reason) = reason else {
        scheduled["reason"] = "Unschedulable".into();
        scheduled["message"] = obstacle.message().into();
        pod["status"] = json!({
            "phase": "Pending", "conditions": [scheduled], "qosClass": template.qos_class,
        });
        return pod;
    };
    let [ready, containers_ready] = readiness(template, false, since);
    pod["status"] = json!({
        "phase": "Pending",
        "conditions": [condition("Initialized", true, since), ready, containers_ready, scheduled],
        "containerStatuses": [container::waiting(template, (obstacle, reason), last)],
        "startTime": seconds(since),
        "qosClass": template.qos_class,
    });
    pod
}

/// What a Pod has from its revision, and who it is.
fn frame(
    template: &Template,
    (name, uid, created): (&str, &str, Timestamp),
    host: Option<&str>,
) -> Value {
    let mut spec = template.spec.clone();
    if let Some(host) = host {
        spec["nodeName"] = host.into();
    }
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": template.namespace,
            "uid": uid,
            "creationTimestamp": seconds(created),
            "labels": template.labels,
            "annotations": template.annotations,
            "ownerReferences": [template.owner],
        },
        "spec": spec,
    })
}

fn status(template: &Template, life: &Life) -> Value {
    let [ready, containers_ready] = readiness(template, life.sight.serving, life.serving_changed);
    let mut status = json!({
        "phase": phase(&life.sight.state),
        "conditions": [
            condition("Initialized", true, life.begun),
            ready,
            containers_ready,
            condition("PodScheduled", true, life.created),
        ],
        "containerStatuses": [container::of(template, life)],
        "startTime": seconds(life.created),
        "qosClass": template.qos_class,
    });
    if let State::Failed(failure) = &life.sight.state {
        status["reason"] = failure.reason.name().into();
        status["message"] = failure.message.as_str().into();
    }
    status
}

fn condition(kind: &str, holds: bool, since: Timestamp) -> Value {
    json!({
        "type": kind, "status": status_of(holds), "lastProbeTime": null, "lastTransitionTime": seconds(since),
    })
}

/// The conditions that say whether it is given requests.
fn readiness(template: &Template, holds: bool, since: Timestamp) -> [Value; 2] {
    ["Ready", "ContainersReady"].map(|kind| {
        let mut condition = condition(kind, holds, since);
        if !holds {
            condition["reason"] = "ContainersNotReady".into();
            condition["message"] =
                format!("containers with unready status: [{}]", template.container).into();
        }
        condition
    })
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

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
