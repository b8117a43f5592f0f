//! The task that owns a revision's instances.
//!
//! Whatever happens (a command, an instance's new state, the image's arrival, a tick), it looks at the whole again: how
//! many instances there should be, by `control::scale`, and what the gateway and the controller should know.

use std::sync::Arc;
use std::time::Duration;

use control::scale::{self, Autoscaler, Decision, Input};
use control::{ImageState, InstanceFailure, RevisionObservation};
use gateway::Failure as Refusal;
use image::{Image, RootImage};
use jiff::Timestamp;
use sandbox::{Handle, State};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::fleet::Fleet;
use super::{Command, Hands};
use crate::images;
use crate::instances::Instance;
use crate::names;
use crate::workload::Workload;

/// How often a revision with instances is looked at; one without is looked at only when something happens.
const TICK: Duration = Duration::from_secs(1);
/// Once taken out of service an instance has this long to finish its requests, and then its process to end.
const DRAIN: Duration = Duration::from_secs(30);
const STOP_GRACE: Duration = Duration::from_secs(5);

enum Event {
    Command(Option<Command>),
    Instance(String, State),
    Image(Box<Fetched>),
    Tick,
}

/// An image with its root, or why there is none.
type Fetched = Result<(Image, RootImage), images::Error>;
type ImageTask = tokio::task::JoinHandle<Fetched>;

pub(super) struct Actor {
    workload: Arc<Workload>,
    hands: Hands,
    fleet: Fleet,
    autoscaler: Autoscaler,
    image: Option<(Image, RootImage)>,
    image_task: Option<ImageTask>,
    image_failure: Option<InstanceFailure>,
    /// The last failure of an instance that no later success has made good.
    failure: Option<InstanceFailure>,
    failures_in_a_row: u32,
    last_failure_at: Option<Timestamp>,
    wanted_since: Option<Timestamp>,
    demand: bool,
    routed: bool,
    ever_ready: bool,
    desired: u32,
    state_sender: mpsc::UnboundedSender<(String, State)>,
    states: mpsc::UnboundedReceiver<(String, State)>,
    publish: watch::Sender<RevisionObservation>,
    /// Dropped when the gateway knows nothing of this runner any more.
    withdrawn: DropGuard,
}

impl Actor {
    pub(super) fn new(
        workload: Arc<Workload>,
        hands: Hands,
        publish: watch::Sender<RevisionObservation>,
        withdrawn: DropGuard,
    ) -> Self {
        let (state_sender, states) = mpsc::unbounded_channel();
        Self {
            ever_ready: workload.proven,
            workload,
            hands,
            fleet: Fleet::default(),
            autoscaler: Autoscaler::default(),
            image: None,
            image_task: None,
            image_failure: None,
            failure: None,
            failures_in_a_row: 0,
            last_failure_at: None,
            wanted_since: None,
            demand: false,
            routed: true,
            desired: 0,
            state_sender,
            states,
            publish,
            withdrawn,
        }
    }

    /// Runs until the sender of commands is gone. A revision that was deleted and made anew has a predecessor of the same name,
    /// which must have left the gateway before.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        predecessor: Option<CancellationToken>,
    ) {
        if let Some(predecessor) = predecessor {
            predecessor.cancelled().await;
        }
        self.hands
            .gateway
            .upsert_revision(&self.workload.key, self.workload.gateway);
        self.fetch_image();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let watched = self.needs_ticks();
            let event = tokio::select! {
                command = inbox.recv() => Event::Command(command),
                Some((id, state)) = self.states.recv() => Event::Instance(id, state),
                image = arrival(&mut self.image_task, &self.workload) => Event::Image(Box::new(image)),
                _ = ticks.tick(), if watched => Event::Tick,
            };
            match event {
                Event::Command(None) => break,
                Event::Command(Some(Command::Demand)) => self.demand = true,
                Event::Command(Some(Command::Routed(routed))) => self.routed = routed,
                Event::Instance(id, state) => self.instance_changed(&id, &state),
                Event::Image(result) => self.image_arrived(*result),
                Event::Tick => {}
            }
            // A demand can be told late, when it has been met.
            if self.fleet.census().ready > 0 {
                self.demand = false;
            }
            self.act(Timestamp::now());
            self.publish();
        }
        self.retire().await;
    }

    fn needs_ticks(&self) -> bool {
        !self.fleet.is_empty() || self.demand || self.desired > 0 || self.image_failure.is_some()
    }

    fn fetch_image(&mut self) {
        let images = self.hands.images.clone();
        let reference = self.workload.image.clone();
        self.image_task = Some(tokio::spawn(
            async move { images.prepare(&reference).await },
        ));
    }

    fn image_arrived(&mut self, result: Fetched) {
        self.image_task = None;
        match result {
            Ok(image) => {
                self.image = Some(image);
                self.image_failure = None;
                self.failures_in_a_row = 0;
                self.last_failure_at = None;
                self.hands.gateway.set_failure(&self.workload.key, None);
            }
            Err(error) => {
                let message = format!(
                    "Unable to fetch image {:?}: {}",
                    self.workload.image.to_string(),
                    crate::chain(&error)
                );
                warn!(revision = %self.workload.key, %message, "image");
                let failure = InstanceFailure {
                    reason: "ContainerMissing".to_owned(),
                    message,
                    exit_code: None,
                };
                self.failed(failure.clone());
                self.image_failure = Some(failure);
            }
        }
    }

    fn instance_changed(&mut self, id: &str, state: &State) {
        self.fleet.changed(id, state);
        match state {
            State::Ready => {
                self.ever_ready = true;
                self.failure = None;
                self.failures_in_a_row = 0;
                self.last_failure_at = None;
            }
            State::Failed(failure) => {
                warn!(instance = id, reason = failure.reason.name(), message = %failure.message, "instance failed");
                self.failed(InstanceFailure {
                    reason: match failure.exit_code {
                        Some(code) => format!("ExitCode{code}"),
                        None => failure.reason.name().to_owned(),
                    },
                    message: failure.message.clone(),
                    exit_code: failure.exit_code,
                });
            }
            _ => {}
        }
        if state.is_terminal() {
            let logs = self.hands.instances.ended(&self.workload.key, id);
            remove_logs(logs);
        }
        if matches!(
            state,
            State::Ready | State::Draining | State::Stopped | State::Failed(_)
        ) {
            self.hands
                .gateway
                .set_endpoints(&self.workload.key, self.fleet.endpoints());
        }
    }

    /// Notes a failure; requests that wait are told, unless another instance can still take them.
    fn failed(&mut self, failure: InstanceFailure) {
        self.failures_in_a_row += 1;
        self.last_failure_at = Some(Timestamp::now());
        let census = self.fleet.census();
        if census == super::fleet::Census::default() {
            let refusal = Refusal {
                reason: failure.reason.clone(),
                message: failure.message.clone(),
            };
            self.hands
                .gateway
                .set_failure(&self.workload.key, Some(refusal));
            self.demand = false;
        }
        // One of several that failed does not speak for the others.
        if census.ready == 0 {
            self.failure = Some(failure);
        }
    }

    fn decide(&mut self, now: Timestamp) -> Decision {
        let census = self.fleet.census();
        let stats = self.hands.gateway.stats(&self.workload.key);
        self.autoscaler.decide(
            &Input {
                ready: census.ready,
                starting: census.starting,
                concurrency: stats.concurrency,
                queued: stats.queued as u32 + u32::from(self.demand),
                last_request: stats
                    .last_request_at
                    .and_then(|at| Timestamp::try_from(at).ok()),
                wanted_since: self.wanted_since,
                ever_ready: self.ever_ready,
                routed: self.routed,
                bounds: self.workload.bounds.clone(),
            },
            now,
        )
    }

    fn act(&mut self, now: Timestamp) {
        let decision = self.decide(now);
        if decision.desired != self.desired {
            info!(revision = %self.workload.key, desired = decision.desired, why = %decision.why, "scale");
        }
        self.desired = decision.desired;
        let census = self.fleet.census();
        let present = census.starting + census.ready;
        if self.desired > present {
            if scale::may_retry(self.failures_in_a_row, self.last_failure_at, now) {
                for _ in present..self.desired {
                    self.start_one(now);
                }
            }
        } else if self.desired < present {
            self.stop_some((present - self.desired) as usize);
        }
        // A registry may have been away for a moment only; the status should not say so for ever.
        let missing = self.image.is_none() && self.image_task.is_none();
        if missing
            && self.routed
            && scale::may_retry(self.failures_in_a_row, self.last_failure_at, now)
        {
            self.fetch_image();
        }
    }

    fn start_one(&mut self, now: Timestamp) {
        let Some((image, root)) = &self.image else {
            if self.image_task.is_none() {
                self.fetch_image();
            }
            return;
        };
        let id = match names::suffix() {
            Ok(suffix) => format!("{}-{suffix}", self.workload.key.name),
            Err(error) => {
                warn!(revision = %self.workload.key, %error, "no random name");
                return;
            }
        };
        // The last failure no longer speaks for the revision while it is tried again.
        self.hands.gateway.set_failure(&self.workload.key, None);
        let handle = self
            .hands
            .sandbox
            .start(self.workload.spec(id, image, root));
        self.forward_states(&handle);
        self.hands.instances.add(Instance {
            revision: self.workload.key.clone(),
            service: self.workload.service.clone(),
            handle: handle.clone(),
            started_at: now,
        });
        self.wanted_since = Some(now);
        self.fleet.add(handle);
    }

    fn forward_states(&self, handle: &Handle) {
        let id = handle.id().to_owned();
        let mut states = handle.watch();
        let sender = self.state_sender.clone();
        tokio::spawn(async move {
            loop {
                let state = states.borrow_and_update().clone();
                let last = state.is_terminal();
                if sender.send((id.clone(), state)).is_err()
                    || last
                    || states.changed().await.is_err()
                {
                    return;
                }
            }
        });
    }

    fn stop_some(&mut self, count: usize) {
        let leaving = self.fleet.take_out(count);
        self.hands
            .gateway
            .set_endpoints(&self.workload.key, self.fleet.endpoints());
        for handle in leaving {
            let drained = self.hands.gateway.drained(&self.workload.key, handle.id());
            tokio::spawn(async move {
                let _ = tokio::time::timeout(DRAIN, drained).await;
                handle.stop(STOP_GRACE);
            });
        }
    }

    fn publish(&self) {
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
            failure: self.failure.clone(),
            ever_ready: self.ever_ready,
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

    /// Takes everything down: the revision was deleted, or the node stops.
    async fn retire(mut self) {
        if let Some(task) = self.image_task.take() {
            task.abort();
        }
        let Hands {
            gateway, instances, ..
        } = self.hands;
        let key = &self.workload.key;
        let deadline = Instant::now() + DRAIN;
        let members = self.fleet.into_members();
        // The gateway forgets its endpoints with the revision, so they are asked for first.
        let ends: Vec<_> = members
            .iter()
            .map(|handle| {
                let drained = gateway.drained(key, handle.id());
                async move {
                    let _ = tokio::time::timeout_at(deadline, drained).await;
                    handle.stop(STOP_GRACE);
                    handle.stopped().await;
                }
            })
            .collect();
        gateway.remove_revision(key);
        let ended = instances.take_ended(key);
        drop(self.withdrawn);
        futures_util::future::join_all(ends).await;
        let live = members.iter().map(|handle| handle.id().to_owned());
        remove_logs(instances.remove(live.chain(ended)));
    }
}

/// The image, once its task is done; never if there is no task.
async fn arrival(task: &mut Option<ImageTask>, workload: &Workload) -> Fetched {
    match task {
        Some(running) => running
            .await
            .unwrap_or_else(|_| Err(images::Error::Stopped(workload.image.clone()))),
        None => std::future::pending().await,
    }
}

fn remove_logs(logs: Vec<std::path::PathBuf>) {
    for log in logs {
        if let Err(error) = std::fs::remove_file(&log)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(log = %log.display(), %error, "cannot remove an old log");
        }
    }
}
