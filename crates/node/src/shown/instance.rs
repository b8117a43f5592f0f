//! An instance as what it is, with what no Pod can say.

use serde_json::{Value, json};

use super::life::Life;
use super::pod::{phase, status_of};
use super::template::Template;

pub(super) fn object(template: &Template, life: &Life) -> Value {
    let phases: Vec<Value> = life
        .phases
        .iter()
        .map(|(name, duration)| json!({"name": name, "seconds": duration.as_secs_f64()}))
        .collect();
    let mut status = json!({
        "phase": phase(&life.sight.state),
        "conditions": [{
            "type": "Ready",
            "status": status_of(life.sight.serving),
            "lastTransitionTime": life.serving_changed.to_string(),
        }],
        "start": life.start(),
        "startTime": life.begun.to_string(),
        "phases": phases,
        "imageID": life.image_id,
    });
    let texts = [
        ("readyTime", life.ready_since.map(|it| it.to_string())),
        ("endTime", life.ended.map(|it| it.to_string())),
        ("snapshot", life.snapshot.clone()),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            status[field] = text.into();
        }
    }
    if let Some(pid) = life.sight.pid {
        status["pid"] = pid.into();
    }
    if let sandbox::State::Failed(failure) = &life.sight.state {
        status["reason"] = failure.reason.name().into();
        status["message"] = failure.message.as_str().into();
    }
    json!({
        "kind": "Instance",
        "apiVersion": "vhive.dev/v1",
        "metadata": {
            "name": life.id,
            "namespace": template.namespace,
            "uid": life.uid,
            // With its fraction: instances are told apart by it.
            "creationTimestamp": life.begun.to_string(),
            "labels": template.labels,
            "ownerReferences": [template.owner],
        },
        "spec": {"revision": template.revision, "image": template.image},
        "status": status,
    })
}
