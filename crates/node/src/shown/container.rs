//! What runs in a Pod: the status of its only container, in the words of kubelets.

use sandbox::{Exit, Reason, State};
use serde_json::{Value, json};

use super::life::{Ended, Life};
use super::seconds;
use super::template::Template;
use super::waiting::Obstacle;

/// What a container that could not be started has as its exit code, from Docker on.
const NEVER_RAN: i32 = 128;
/// The instance behind a container's id.
const SCHEME: &str = "vhive://";

/// The instance that a `containerID` names.
pub(super) fn instance_of(container_id: &str) -> Option<&str> {
    container_id.strip_prefix(SCHEME)
}

/// The container of an instance.
pub(super) fn of(template: &Template, life: &Life) -> Value {
    let running = matches!(
        life.sight.state,
        State::Ready | State::Saving | State::Draining
    );
    let state = match (life.ending(), life.ready_since) {
        (Some(ending), _) => json!({"terminated": terminated(&ending)}),
        (None, Some(since)) if running => json!({"running": {"startedAt": seconds(since)}}),
        _ => json!({"waiting": {"reason": "ContainerCreating"}}),
    };
    let mut status = with(template, &state, life.predecessor.as_ref());
    status["imageID"] = life.image_id.as_str().into();
    status["containerID"] = format!("{SCHEME}{}", life.id).into();
    status["ready"] = life.sight.serving.into();
    status["started"] = (running && life.ready_since.is_some()).into();
    status
}

/// The container of an instance that is not started for this reason, and whose predecessor ended so.
pub(super) fn waiting(
    template: &Template,
    (obstacle, reason): (&Obstacle, &str),
    last: Option<&Ended>,
) -> Value {
    let state = json!({"waiting": {"reason": reason, "message": obstacle.message()}});
    with(template, &state, last)
}

fn with(template: &Template, state: &Value, last: Option<&Ended>) -> Value {
    json!({
        "name": template.container,
        "image": template.image,
        "imageID": "",
        "ready": false,
        "started": false,
        "restartCount": last.map_or(0, |last| last.in_a_row),
        "state": state,
        "lastState": last.map_or_else(|| json!({}), |last| json!({"terminated": terminated(last)})),
    })
}

/// `Error` and `Completed` for programs that ended, `StartError` for what is no program, `OOMKilled`, and for what kubelets do not
/// know, our own words.
fn terminated(ended: &Ended) -> Value {
    let failure = &ended.failure;
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
        Reason::StartFailed => ("StartError", Exit::default()),
        reason => (reason.name(), Exit::default()),
    };
    let code = exit.code.or(exit.signal.map(|signal| 128 + signal));
    let mut terminated = json!({
        "exitCode": code.unwrap_or(NEVER_RAN),
        "reason": reason,
        "message": failure.message,
        "containerID": format!("{SCHEME}{}", ended.id),
        "startedAt": seconds(ended.started),
        "finishedAt": seconds(ended.at),
    });
    if let Some(signal) = exit.signal {
        terminated["signal"] = signal.into();
    }
    terminated
}
