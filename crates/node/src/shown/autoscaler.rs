//! What scales a revision, as Knative shows it (knative.dev/serving `pkg/apis/autoscaling/v1alpha1`): a `PodAutoscaler`, with what was
//! decided lately and why.

use std::collections::VecDeque;

use control::scale::{Decision, State};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::template::Template;
use super::{AUTOSCALERS, Shown, seconds};

/// A decision that differed from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) at: Timestamp,
    pub(crate) desired: u32,
    /// One word.
    pub(crate) reason: &'static str,
    /// A sentence, with the figures of then.
    pub(crate) message: String,
}

/// The scale of a revision, and what is decided of it.
pub(crate) struct Scale<'a> {
    pub(crate) decision: Decision,
    pub(crate) ready: u32,
    pub(crate) routed: bool,
    pub(crate) container_concurrency: u32,
    /// What one instance is meant to get.
    pub(crate) target: f64,
    /// Oldest first.
    pub(crate) lately: &'a VecDeque<Told>,
}

impl Shown {
    /// Shows what scales a revision.
    pub(crate) fn show_scale(&self, template: &Template, created: Timestamp, scale: &Scale<'_>) {
        let object = object(template, created, scale);
        self.show(
            &AUTOSCALERS,
            &template.namespace,
            &template.revision,
            object,
        );
    }

    /// Shows it no more.
    pub(crate) fn hide_scale(&self, template: &Template) {
        self.hide(&AUTOSCALERS, &template.namespace, &template.revision);
    }
}

fn object(template: &Template, created: Timestamp, scale: &Scale<'_>) -> Value {
    let decision = &scale.decision;
    let decisions: Vec<Value> = scale
        .lately
        .iter()
        .map(|told| {
            json!({
                "time": seconds(told.at),
                "desiredScale": told.desired,
                "reason": told.reason,
                "message": told.message,
            })
        })
        .collect();
    let mut metrics = json!({
        "target": scale.target,
        "panicking": decision.panic,
        "excessBurstCapacity": decision.excess_burst_capacity,
    });
    if let Some(measured) = decision.measured {
        metrics["stable"] = measured.stable.into();
        metrics["panic"] = measured.panic.into();
    }
    json!({
        "kind": AUTOSCALERS.kind,
        "apiVersion": format!("{}/{}", AUTOSCALERS.group, AUTOSCALERS.version),
        "metadata": {
            "name": template.revision,
            "namespace": template.namespace,
            "uid": format!("{}-scale", template.owner.uid),
            "creationTimestamp": seconds(created),
            "labels": template.labels,
            "annotations": template.annotations,
            "ownerReferences": [template.owner],
        },
        "spec": {
            "containerConcurrency": scale.container_concurrency,
            "reachability": if scale.routed { "Reachable" } else { "Unreachable" },
            "scaleTargetRef": {
                "apiVersion": template.owner.api_version,
                "kind": template.owner.kind,
                "name": template.revision,
            },
        },
        "status": {
            "desiredScale": decision.desired,
            "actualScale": scale.ready,
            "conditions": conditions(decision),
            "metrics": metrics,
            "decisions": decisions,
        },
    })
}

/// `Active`, and `Ready`, which follows it.
fn conditions(decision: &Decision) -> Value {
    let (status, reason, message) = match decision.activity.state {
        State::Active => ("True", "", ""),
        State::Activating => (
            "Unknown",
            "Queued",
            "Requests to the target are being buffered as resources are provisioned.",
        ),
        State::Inactive => match decision.why.name() {
            "TimedOut" | "GivenUp" => ("False", "TimedOut", "The target could not be activated."),
            _ => ("False", "NoTraffic", "The target is not receiving traffic."),
        },
    };
    let condition = |kind: &str| {
        let mut condition = json!({
            "type": kind,
            "status": status,
            "lastTransitionTime": seconds(decision.activity.since),
        });
        for (key, text) in [("reason", reason), ("message", message)] {
            if !text.is_empty() {
                condition[key] = text.into();
            }
        }
        condition
    };
    json!([condition("Active"), condition("Ready")])
}
