//! What is seen of a Revision → its status.
//!
//! `ContainerHealthy` speaks of the image and of the function's process, `ResourcesAvailable` of everything round it. Both
//! become true when an instance was ready for the first time, and stay so at zero.

use std::time::Duration;

use api::serving::{ContainerStatus, Revision, annotation, is_ready};
use jiff::Timestamp;

use crate::conditions::{self, Verdict, whole_seconds};
use crate::object::{Action, Object};
use crate::observation::{ImageState, InstanceFailure, RevisionObservation};

pub(crate) const DEFAULT_PROGRESS_DEADLINE: Duration = Duration::from_secs(600);

pub(crate) fn plan(
    revision: &Revision,
    seen: &RevisionObservation,
    now: Timestamp,
) -> Option<Action> {
    let mut updated = revision.clone();
    let status = &mut updated.status;
    status.observed_generation = revision.metadata.generation;
    status.actual_replicas = Some(replicas(seen.ready));
    status.desired_replicas = Some(replicas(seen.desired));
    if let ImageState::Resolved { digest } = &seen.image {
        status.container_statuses = revision
            .spec
            .containers
            .iter()
            .map(|container| container_status(container, digest))
            .collect();
    }
    let late = deadline(revision).is_some_and(|deadline| now >= deadline);
    let (healthy, available) = health(revision, seen, late);
    let active = activity(seen, available.is_yes(), late);
    let dependents = [
        ("ContainerHealthy", healthy),
        ("ResourcesAvailable", available),
    ];
    let informative = [("Active", active)];
    status.conditions =
        conditions::write(&revision.status.conditions, &dependents, &informative, now);
    (updated.status != revision.status)
        .then(|| Action::UpdateStatus(Object::Revision(Box::new(updated))))
}

/// When a Revision that has never been ready counts as failed; `None` for one that the store has not stamped yet.
pub fn deadline(revision: &Revision) -> Option<Timestamp> {
    let given = revision.metadata.annotation(annotation::PROGRESS_DEADLINE);
    let allowed = given
        .and_then(api::duration::parse)
        .unwrap_or(DEFAULT_PROGRESS_DEADLINE);
    revision
        .metadata
        .creation_timestamp?
        .checked_add(allowed)
        .ok()
}

fn replicas(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// `repository@digest`, whatever tag the image was asked for by.
fn container_status(container: &api::core::Container, digest: &str) -> ContainerStatus {
    // The stub containers of the original vHive name the real image here.
    let guest = container
        .env
        .iter()
        .find(|variable| variable.name == "GUEST_IMAGE");
    let image = guest.map_or(&container.image, |variable| &variable.value);
    let image = image.split('@').next().unwrap_or_default();
    // A colon after the last slash is a tag's; one before it is a port's.
    let repository = match image.rfind(':') {
        Some(colon) if !image[colon..].contains('/') => &image[..colon],
        _ => image,
    };
    ContainerStatus {
        name: container.name.clone(),
        image_digest: format!("{repository}@{digest}"),
    }
}

/// `ContainerHealthy` and `ResourcesAvailable`.
fn health(revision: &Revision, seen: &RevisionObservation, late: bool) -> (Verdict, Verdict) {
    let before = |kind| Verdict::before(&revision.status.conditions, kind);
    // A node that has just started has seen nothing yet; what was shown before still holds.
    let proven = seen.ever_ready || before("ResourcesAvailable").is_yes();
    let available = if proven {
        Verdict::yes()
    } else if late {
        let why = match &seen.failure {
            Some(failure) => format!(
                "Initial scale was never achieved, and it is tried again when a request comes: {}",
                failure.message
            ),
            None => "Initial scale was never achieved".to_owned(),
        };
        Verdict::no("ProgressDeadlineExceeded", why)
    } else {
        Verdict::unknown("Deploying", "")
    };
    if let ImageState::Failed { reason, message } = &seen.image {
        return (Verdict::no(reason, message), available);
    }
    if seen.ready == 0
        && let Some(failure) = &seen.failure
    {
        return match failure.exit_code {
            Some(_) => (crashed(seen, failure), available),
            // The process did not end: it is not known to be unwell, but there is no instance.
            None => (
                Verdict::unknown("", ""),
                Verdict::no(&failure.reason, &failure.message),
            ),
        };
    }
    let resolved = matches!(seen.image, ImageState::Resolved { .. });
    if seen.ever_ready || is_ready(&revision.status.conditions) || (seen.starts_at_zero && resolved)
    {
        return (Verdict::yes(), Verdict::yes());
    }
    if seen.failure.is_none() && before("ContainerHealthy").is_no() && !resolved {
        // Failed under a node that has ended, and not tried again yet.
        return (before("ContainerHealthy"), available);
    }
    let healthy = if resolved {
        Verdict::unknown("Deploying", "")
    } else {
        Verdict::unknown("ResolvingDigests", "")
    };
    (healthy, available)
}

/// What is said of a process that ended by itself: once, or again and again after it has been well.
fn crashed(seen: &RevisionObservation, failure: &InstanceFailure) -> Verdict {
    let InstanceFailure {
        reason, message, ..
    } = failure;
    match seen.next_try {
        Some(next) if seen.ever_ready && seen.failures > 1 => {
            let (failures, next) = (seen.failures, whole_seconds(next));
            let message = format!(
                "Container failed {failures} times in a row, and is started again at {next} or later. It failed last with: {message}"
            );
            Verdict::no("CrashLoopBackOff", message)
        }
        _ => Verdict::no(reason, format!("Container failed with: {message}")),
    }
}

/// Whether it has instances that are needed; scaled to zero is no fault.
fn activity(seen: &RevisionObservation, proven: bool, late: bool) -> Verdict {
    let kept = seen.idle && seen.ready > 0;
    if seen.ready > 0 && !kept {
        Verdict::yes()
    } else if !kept && (seen.starting > 0 || seen.desired > 0) {
        Verdict::unknown(
            "Queued",
            "Requests to the target are being buffered as resources are provisioned.",
        )
    } else if proven {
        Verdict::no("NoTraffic", "The target is not receiving traffic.")
    } else if late {
        Verdict::no("TimedOut", "The target could not be activated.")
    } else {
        Verdict::unknown("Deploying", "")
    }
}

#[cfg(test)]
mod tests {
    use api::core::{Container, EnvVar};

    use super::*;

    #[test]
    fn a_revision_is_active_while_it_is_needed() {
        let seen = |ready, desired, idle| RevisionObservation {
            desired,
            ready,
            idle,
            ..RevisionObservation::default()
        };
        for (seen, status, reason) in [
            (seen(1, 1, false), "True", ""),
            // The last one is retained.
            (seen(1, 1, true), "False", "NoTraffic"),
            (seen(0, 1, false), "Unknown", "Queued"),
            (seen(0, 0, true), "False", "NoTraffic"),
        ] {
            let now = Timestamp::UNIX_EPOCH;
            let verdict = [("Active", activity(&seen, true, false))];
            let conditions = conditions::write(&[], &[], &verdict, now);
            let active = conditions.iter().find(|it| it.kind == "Active");
            let told = active.map(|it| (it.status.as_str(), it.reason.as_str()));
            assert_eq!(told, Some((status, reason)), "{seen:?}");
        }
    }

    #[test]
    fn a_digest_is_told_with_the_repository_that_it_is_in() {
        for (image, guest, expected) in [
            ("a", None, "a@sha256:d"),
            ("repo:5000/a", None, "repo:5000/a@sha256:d"),
            ("repo:5000/a:tag", None, "repo:5000/a@sha256:d"),
            ("a:tag@sha256:old", None, "a@sha256:d"),
            (
                "stub:latest",
                Some("dev.local/real:tag"),
                "dev.local/real@sha256:d",
            ),
        ] {
            let env = guest.map(|guest: &str| EnvVar {
                name: "GUEST_IMAGE".to_owned(),
                value: guest.to_owned(),
                value_from: None,
            });
            let container = Container {
                image: image.to_owned(),
                env: env.into_iter().collect(),
                ..Container::default()
            };
            assert_eq!(
                container_status(&container, "sha256:d").image_digest,
                expected,
                "{image}"
            );
        }
    }
}
