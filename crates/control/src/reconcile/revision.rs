//! What is seen of a Revision → its status.

use api::serving::{ContainerStatus, Revision, is_ready};
use jiff::Timestamp;

use crate::conditions::{self, Verdict};
use crate::object::{Action, Object};
use crate::observation::{ImageState, RevisionObservation};
use crate::scale::Bounds;

pub(crate) fn plan(
    revision: &Revision,
    seen: &RevisionObservation,
    now: Timestamp,
) -> Option<Action> {
    let mut updated = revision.clone();
    let status = &mut updated.status;
    status.observed_generation = revision.metadata.generation;
    status.actual_replicas = Some(seen.ready as i32);
    status.desired_replicas = Some(seen.desired as i32);
    if let ImageState::Resolved { digest } = &seen.image {
        status.container_statuses = revision
            .spec
            .containers
            .iter()
            .map(|container| container_status(container, digest))
            .collect();
    }
    let (healthy, available) = health(revision, seen);
    let dependents = [
        ("ContainerHealthy", healthy),
        ("ResourcesAvailable", available),
    ];
    let informative = [("Active", activity(seen))];
    status.conditions =
        conditions::write(&revision.status.conditions, &dependents, &informative, now);
    (updated.status != revision.status)
        .then(|| Action::UpdateStatus(Object::Revision(Box::new(updated))))
}

/// `repository@digest`, whatever tag the image was asked for by.
fn container_status(container: &api::core::Container, digest: &str) -> ContainerStatus {
    let image = container.image.split('@').next().unwrap_or_default();
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
fn health(revision: &Revision, seen: &RevisionObservation) -> (Verdict, Verdict) {
    if let ImageState::Failed { reason, message } = &seen.image {
        return (Verdict::no(reason, message), Verdict::no(reason, message));
    }
    if seen.ready == 0
        && let Some(failure) = &seen.failure
    {
        return (
            Verdict::no(&failure.reason, &failure.message),
            Verdict::yes(),
        );
    }
    // A node that has just started has seen nothing yet; what was shown before still holds.
    let asks_for_none = Bounds::of(&revision.metadata.annotations, 0).initial == 0;
    let resolved = matches!(seen.image, ImageState::Resolved { .. });
    if seen.ever_ready || is_ready(&revision.status.conditions) || (asks_for_none && resolved) {
        return (Verdict::yes(), Verdict::yes());
    }
    if resolved {
        (
            Verdict::unknown("Deploying", ""),
            Verdict::unknown("Deploying", ""),
        )
    } else {
        (
            Verdict::unknown("ResolvingDigests", ""),
            Verdict::unknown("ResolvingDigests", ""),
        )
    }
}

/// Whether it has instances; scaled to zero is no fault.
fn activity(seen: &RevisionObservation) -> Verdict {
    if seen.ready > 0 {
        Verdict::yes()
    } else if seen.starting > 0 || seen.desired > 0 {
        Verdict::unknown(
            "Queued",
            "Requests to the target are being buffered as resources are provisioned.",
        )
    } else {
        Verdict::no("NoTraffic", "The target is not receiving traffic.")
    }
}
