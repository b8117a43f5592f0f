//! What others are told of a revision: the gateway, who looks at its instances, and the controller.

use control::{ImageState, InstanceFailure, RevisionObservation};
use gateway::{Failure as Refusal, RevisionConfig};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Actor, answered};
use crate::agenda::left;
use crate::shown::Obstacle;

impl Actor {
    /// Lets requests come. What the gateway has counted until then came for a predecessor of the same name.
    pub(in crate::revision) fn enter_gateway(&mut self) {
        let (gateway, key) = (&self.hands.gateway, &self.workload.key);
        let before = gateway.stats(key);
        self.scaling.begin(&before);
        self.answered_before = answered(&before);
        self.configure_gateway();
    }

    pub(super) fn configure_gateway(&self) {
        let config = RevisionConfig {
            target_burst_capacity: self.scaling.burst_capacity(),
            ..self.workload.gateway
        };
        let (gateway, key) = (&self.hands.gateway, &self.workload.key);
        gateway.upsert_revision(key, config);
    }

    pub(super) fn show_endpoints(&self) {
        self.hands
            .gateway
            .set_endpoints(&self.workload.key, self.fleet.endpoints());
    }

    pub(super) fn tell_gateway(&mut self, now: Timestamp) {
        let refusal = self.refusal(now);
        if refusal == self.refusal {
            return;
        }
        let told = refusal.clone().map(|(failure, until)| Refusal {
            reason: failure.reason,
            message: failure.message,
            next_try: until.and_then(|until| Instant::now().checked_add(left(now, until))),
        });
        // Who waited is refused now, and demands nothing any more.
        self.demand &= told.is_none();
        self.hands.gateway.set_failure(&self.workload.key, told);
        self.refusal = refusal;
    }

    /// Why requests are to be refused, and until when, if time is what helps: nothing answers, nothing is on its way, and the next
    /// try has to wait.
    fn refusal(&self, now: Timestamp) -> Option<(InstanceFailure, Option<Timestamp>)> {
        let census = self.fleet.census();
        if census.ready + census.starting > 0 || self.image_task.is_some() {
            return None;
        }
        if let Some(want) = self.want() {
            return Some((want, None));
        }
        let failure = match self.image {
            Some(_) => &self.failure,
            None => &self.image_failure,
        };
        Some((failure.clone()?, Some(self.pending(now)?)))
    }

    /// What is missing, if an instance waits for it. The word is the kubelet's.
    fn want(&self) -> Option<InstanceFailure> {
        let error = self.given.as_ref().err().filter(|_| self.wanting)?;
        Some(InstanceFailure {
            reason: "CreateContainerConfigError".to_owned(),
            message: error.to_string(),
            exit_code: None,
        })
    }

    /// Shows the instances as they are now.
    pub(super) fn show(&mut self, now: Timestamp) {
        for (handle, sight) in self.fleet.sights() {
            self.faces.see(handle, sight, now);
        }
        let census = self.fleet.census();
        if self.desired <= census.starting + census.ready {
            self.faces.complete();
        } else if let Some(obstacle) = self.obstacle(now) {
            self.faces.wait(obstacle, now);
        }
    }

    /// Why an instance that is wanted has not been started.
    fn obstacle(&self, now: Timestamp) -> Option<Obstacle> {
        match (&self.image, &self.image_failure) {
            (None, Some(failure)) => Some(Obstacle::NoImage(failure.message.clone())),
            (None, None) => Some(Obstacle::Image(self.workload.image.to_string())),
            _ => {
                let pause = self.backoff.pending(now).map(Obstacle::Pause);
                let want = self.want().map(|want| Obstacle::Config(want.message));
                pause.or(want).or(self.starved.then_some(Obstacle::Memory))
            }
        }
    }

    pub(super) fn publish(&self) {
        let census = self.fleet.census();
        let observation = RevisionObservation {
            image: match (&self.image, &self.image_failure) {
                (Some((image, _)), _) => ImageState::Resolved {
                    digest: image.digest.to_string(),
                },
                (None, Some(failure)) => ImageState::Failed {
                    reason: failure.reason.clone(),
                    message: failure.message.clone(),
                },
                (None, None) => ImageState::Pending,
            },
            desired: self.desired,
            starting: census.starting,
            ready: census.ready,
            failure: self
                .want()
                .or_else(|| self.failure.clone().filter(|_| self.failing)),
            failures: if self.failing {
                self.backoff.failures()
            } else {
                0
            },
            next_try: self.backoff.next_try().filter(|_| self.failing),
            ever_ready: self.ever_ready,
            starts_at_zero: self.scaling.starts_at_zero(),
            idle: self.scaling.is_idle(),
        };
        let changed = self.publish.send_if_modified(|current| {
            let changed = *current != observation;
            *current = observation;
            changed
        });
        if changed {
            let _ = self.hands.changed.send(self.workload.key.clone());
        }
    }
}
