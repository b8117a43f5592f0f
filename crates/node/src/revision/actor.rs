//! The task that owns a revision's instances.
//!
//! Whatever happens (a command, an instance's new state, the image's arrival, a tick), it looks at the whole again: how
//! many instances there should be, by `control::scale`, and what the gateway and the controller should know.

mod telling;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::scale::{Backoff, Decision, FailedTry};
use control::{InstanceFailure, RevisionObservation};
use image::{Image, RootImage};
use jiff::Timestamp;
use sandbox::{Failure, Handle, Memory, Reason, SaveError, State};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::faces::Faces;
use super::failure::observed;
use super::fleet::{Fleet, Life};
use super::saving::{Asker, Saved, Saving, Trouble};
use super::scaling::{Scaling, Sight};
use super::{Command, Hands};
use crate::agenda::until;
use crate::images;
use crate::instances::Instance;
use crate::logs;
use crate::shown::Template;
use crate::sources::{self, Given};
use crate::workload::Workload;

/// How often a revision with instances is looked at; one without is looked at only when something happens.
const TICK: Duration = Duration::from_secs(1);
/// Once taken out of service, and done with its requests, an instance has this long to end by itself.
const STOP_GRACE: Duration = Duration::from_secs(5);

enum Event {
    Command(Option<Command>),
    Instance(String, State),
    Image(Box<Fetched>),
    Saved(Saved),
    /// The autoscaler's configuration has changed.
    Configured,
    /// Time has passed, or a pause is over.
    Tick,
}

/// Why the actor ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NodeStops,
    Deleted,
}

/// An image with its root, or why there is none.
type Fetched = Result<(Image, RootImage), images::Error>;
type ImageTask = tokio::task::JoinHandle<Fetched>;

pub(super) struct Actor {
    workload: Arc<Workload>,
    hands: Hands,
    fleet: Fleet,
    faces: Faces,
    scaling: Scaling,
    image: Option<(Image, RootImage)>,
    image_task: Option<ImageTask>,
    image_asked: Timestamp,
    image_failure: Option<InstanceFailure>,
    image_backoff: Backoff,
    /// What instances are given of what there is in the store, or why they cannot be.
    given: Result<Arc<Given>, sources::Error>,
    /// An instance should have been started, and could not be given what it asks for.
    wanting: bool,
    /// The last failure of an instance.
    failure: Option<InstanceFailure>,
    /// Whether it speaks for the revision: no later success has made it good, and it was not followed by a new try at once.
    failing: bool,
    backoff: Backoff,
    /// Why the gateway refuses requests, and until when, as it was told.
    refusal: Option<(InstanceFailure, Option<Timestamp>)>,
    saving: Saving,
    /// Requests that were answered well, as last counted.
    answered: u64,
    /// How many of those that the gateway knows of a predecessor answered.
    answered_before: u64,
    /// Requests in flight or queued, as last counted.
    busy: u32,
    /// There was not memory enough for another instance.
    starved: bool,
    demand: bool,
    routed: bool,
    ever_ready: bool,
    desired: u32,
    state_sender: mpsc::UnboundedSender<(String, State)>,
    states: mpsc::UnboundedReceiver<(String, State)>,
    saved_sender: mpsc::UnboundedSender<Saved>,
    saved: mpsc::UnboundedReceiver<Saved>,
    publish: watch::Sender<RevisionObservation>,
    /// Dropped when the gateway knows nothing of this runner any more.
    withdrawn: DropGuard,
}

impl Actor {
    pub(super) fn new(
        workload: Arc<Workload>,
        template: Template,
        hands: Hands,
        publish: watch::Sender<RevisionObservation>,
        withdrawn: DropGuard,
    ) -> Self {
        let (state_sender, states) = mpsc::unbounded_channel();
        let (saved_sender, saved) = mpsc::unbounded_channel();
        Self {
            ever_ready: workload.proven,
            scaling: Scaling::new(
                &workload,
                hands.settings.autoscaler.clone(),
                Timestamp::now(),
            ),
            faces: Faces::new(template, hands.shown.clone(), hands.events.clone()),
            saving: Saving::new(workload.snapshot_key(), hands.snapshot_after),
            answered: 0,
            answered_before: 0,
            busy: 0,
            saved_sender,
            saved,
            given: workload.given(&hands.sources).map(Arc::new),
            wanting: false,
            workload,
            hands,
            fleet: Fleet::default(),
            image: None,
            image_task: None,
            image_asked: Timestamp::now(),
            image_failure: None,
            image_backoff: Backoff::default(),
            failure: None,
            failing: false,
            backoff: Backoff::default(),
            refusal: None,
            starved: false,
            demand: false,
            routed: true,
            desired: 0,
            state_sender,
            states,
            publish,
            withdrawn,
        }
    }

    /// Runs until the revision is deleted or the sender of commands is gone. A revision that was deleted and made anew has a
    /// predecessor of the same name, which must have left the gateway before.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        predecessor: Option<CancellationToken>,
    ) {
        if let Some(predecessor) = predecessor {
            predecessor.cancelled().await;
            self.enter_gateway();
        }
        self.fetch_image(Timestamp::now());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // As it was when we last acted: one that has ended since must wake us, too.
        let mut pause = None;
        let end = loop {
            let watched = self.needs_ticks();
            let event = tokio::select! {
                command = inbox.recv() => Event::Command(command),
                Some((id, state)) = self.states.recv() => Event::Instance(id, state),
                Some(saved) = self.saved.recv() => Event::Saved(saved),
                image = arrival(&mut self.image_task, &self.workload) => Event::Image(Box::new(image)),
                _ = ticks.tick(), if watched => Event::Tick,
                () = self.scaling.reconfigured() => Event::Configured,
                () = until(pause) => Event::Tick,
            };
            let now = Timestamp::now();
            match event {
                Event::Command(None) => break End::NodeStops,
                Event::Command(Some(Command::Deleted)) => break End::Deleted,
                Event::Command(Some(Command::Demand)) => self.demand = true,
                Event::Command(Some(Command::Routed(routed))) => self.routed = routed,
                Event::Command(Some(Command::Sources)) => self.sources_changed(),
                Event::Instance(id, state) => self.instance_changed(&id, &state, now),
                Event::Command(Some(Command::End { instance, grace })) => {
                    self.end(&instance, grace);
                }
                Event::Command(Some(Command::Save(asker))) => self.save(Some(asker)),
                Event::Image(result) => self.image_arrived(*result, now),
                Event::Saved(saved) => self.saved(&saved, now),
                Event::Configured => self.configure_gateway(),
                Event::Tick => {}
            }
            // A demand can be told late, when it has been met.
            if self.fleet.census().ready > 0 {
                self.demand = false;
            }
            if self.fleet.ask_health() {
                self.show_endpoints();
            }
            self.act(now);
            self.save_if_due(now);
            self.tell_gateway(now);
            self.show(now);
            self.publish();
            pause = self.pending(now);
        };
        self.retire(end).await;
    }

    /// Whether it looks once a second. At zero it is woken by what happens alone. One with instances could sleep until
    /// [`Decision::next`] while it has no requests; but whether each of them is well, and whether it is time to save one, is seen only
    /// by looking.
    fn needs_ticks(&self) -> bool {
        !self.fleet.is_empty() || self.demand || self.desired > 0
    }

    /// When the next try may be made, if that is not now.
    fn pending(&self, now: Timestamp) -> Option<Timestamp> {
        match self.image {
            Some(_) => self.backoff.pending(now),
            None => self.image_backoff.pending(now),
        }
    }

    fn fetch_image(&mut self, now: Timestamp) {
        let images = self.hands.images.clone();
        let wanted = self.workload.image.clone();
        self.image_asked = now;
        self.image_task = Some(tokio::spawn(async move { images.prepare(&wanted).await }));
    }

    fn image_arrived(&mut self, result: Fetched, now: Timestamp) {
        self.image_task = None;
        match result {
            Ok(image) => {
                let (name, digest) = (&self.workload.image, &image.0.digest);
                let message = format!("Image \"{name}\" is present on this node as {digest}");
                self.faces.normal("ImagePulled", message);
                self.image = Some(image);
                self.image_failure = None;
                self.expect_restores();
            }
            Err(error) => {
                let message = format!(
                    "Unable to fetch image {:?}: {}",
                    self.workload.image.to_string(),
                    crate::chain(&error)
                );
                warn!(revision = %self.workload.key, %message, "image");
                self.faces.warning("Failed", message.as_str());
                let failure = InstanceFailure {
                    reason: "ContainerMissing".to_owned(),
                    message,
                    exit_code: None,
                };
                self.image_failure = Some(failure);
                let failed = FailedTry {
                    started: self.image_asked,
                    ready_since: None,
                    proven: false,
                };
                self.image_backoff.failed(&failed, now);
            }
        }
    }

    fn instance_changed(&mut self, id: &str, state: &State, now: Timestamp) {
        let life = self.fleet.changed(id, state, now);
        match state {
            State::Ready => {
                self.ever_ready = true;
                self.failing = false;
            }
            State::Failed(failure) => {
                warn!(instance = id, reason = failure.reason.name(), message = %failure.message, "instance failed");
                let instance = self.hands.instances.get(id);
                let killed = instance.is_some_and(|it| it.handle.was_killed());
                self.failed(failure, killed, life, now);
            }
            _ => {}
        }
        if state.is_terminal() {
            if let Some(instance) = self.hands.instances.get(id) {
                self.faces.ended(&instance.handle, state, now);
            }
            let forgotten = self.hands.instances.ended(&self.workload.key, id);
            self.forget(forgotten);
        }
        if matches!(
            state,
            State::Ready | State::Saving | State::Draining | State::Stopped | State::Failed(_)
        ) {
            self.show_endpoints();
        }
    }

    /// Notes the failure of an instance. Requests that wait go on waiting while it may be tried again at once.
    fn failed(&mut self, failure: &Failure, killed: bool, life: Option<Life>, now: Timestamp) {
        if failure.reason == Reason::RestoreFailed {
            // Its snapshot is gone, and the next boots: nothing is wrong with the function.
            self.saving.failed(now);
            let message =
                "The snapshot could not be restored, and is removed; the next instance boots";
            self.faces.warning("RestoreFailed", message);
            return;
        }
        // It was ready, though that may have been too short to be seen.
        self.ever_ready |= matches!(failure.reason, Reason::Exited(_) | Reason::Unhealthy);
        // What was ready and then killed by somebody else does not say that another would fail.
        if killed && life.is_some_and(|life| life.ready_since.is_some()) {
            self.failure = Some(observed(failure));
            return;
        }
        self.backoff.failed(
            &FailedTry {
                started: life.map_or(now, |life| life.started),
                ready_since: life.and_then(|life| life.ready_since),
                proven: self.ever_ready,
            },
            now,
        );
        let observed = observed(failure);
        if self.backoff.pending(now).is_some() {
            let message = format!("Back-off restarting failed instances: {}", observed.reason);
            self.faces.warning("BackOff", message);
        }
        self.failure = Some(observed);
        // One of several that failed does not speak for the others.
        if self.fleet.census().ready == 0 {
            self.failing |= !self.ever_ready || self.backoff.pending(now).is_some();
        }
    }

    /// Reads anew what instances are given. Those that run get new files; those to come, all of it.
    fn sources_changed(&mut self) {
        let given = self.workload.given(&self.hands.sources).map(Arc::new);
        if let (Ok(before), Ok(now)) = (&self.given, &given)
            && before == now
        {
            return;
        }
        match &given {
            Ok(given) => {
                self.wanting = false;
                self.fleet.update(&given.contents());
            }
            // Those that run keep what they have, as a Pod does.
            Err(error) => {
                warn!(revision = %self.workload.key, %error, "no instance can be started");
            }
        }
        self.given = given;
        self.expect_restores();
    }

    fn decide(&mut self, now: Timestamp) -> Decision {
        let census = self.fleet.census();
        let stats = self.hands.gateway.stats(&self.workload.key);
        self.count(&stats);
        let failed = self.failing || self.wanting || self.image_failure.is_some();
        let sight = Sight {
            census,
            demand: self.demand,
            routed: self.routed,
            given_up: !self.ever_ready && failed && self.late(now),
        };
        let decision = self.scaling.decide(&stats, &sight, now);
        if let Some(scale) = self.scaling.news(&decision, census, self.routed, now) {
            self.faces.show_scale(&scale);
        }
        decision
    }

    /// Counts the requests that its instances have answered, and have yet to answer.
    fn count(&mut self, stats: &gateway::Stats) {
        self.answered = answered(stats).saturating_sub(self.answered_before);
        self.busy = (stats.in_flight + stats.queued) as u32;
    }

    fn save_if_due(&mut self, now: Timestamp) {
        let seen = (self.answered, self.fleet.census().ready, self.busy);
        let given = self.given.as_ref();
        if given.is_ok_and(|given| self.fleet.can_save(given))
            && self.saving.due(self.hands.sandbox.snapshots(), seen, now)
        {
            self.save(None);
        }
    }

    /// Takes an instance out of service and saves it.
    fn save(&mut self, asker: Option<Asker>) {
        if !self.saving.is_on() {
            if let Some(asker) = asker {
                // Who asked may have gone.
                let _ = asker.send(Err(Trouble::Off));
            }
            return;
        }
        let instance = match &self.given {
            Ok(given) if !self.saving.is_under_way() => self.fleet.take_to_save(given),
            _ => None,
        };
        let Some(instance) = instance else {
            if let Some(asker) = asker {
                // Who asked may have gone.
                let _ = asker.send(Err(Trouble::Failed(SaveError::NotReady)));
            }
            return;
        };
        self.show_endpoints();
        let (gateway, key) = (&self.hands.gateway, &self.workload.key);
        let done = self.saved_sender.clone();
        self.saving.begin(instance, gateway, key, done, asker);
    }

    fn saved(&mut self, saved: &Saved, now: Timestamp) {
        self.saving.ended(saved, &self.workload.key, now);
        match &saved.result {
            Ok(snapshot) => {
                let (id, mib) = (&snapshot.manifest().id, snapshot.on_disk() >> 20);
                let message = format!(
                    "Saved {} as snapshot {id}, {mib} MiB on disk",
                    saved.instance
                );
                self.faces.normal("SnapshotSaved", message);
                // What the instance began with may be another now; then it goes again.
                self.expect_restores();
            }
            Err(Trouble::Failed(error)) => {
                let message = format!("Cannot save {}: {error}", saved.instance);
                self.faces.warning("SnapshotFailed", message);
            }
            // The one is tried again; the other is no surprise.
            Err(Trouble::Busy | Trouble::Off) => {}
        }
        self.fleet.back_from_saving(&saved.instance);
        self.show_endpoints();
    }

    fn late(&self, now: Timestamp) -> bool {
        self.workload
            .deadline
            .is_some_and(|deadline| now >= deadline)
    }

    fn act(&mut self, now: Timestamp) {
        let decision = self.decide(now);
        if decision.desired != self.desired {
            info!(revision = %self.workload.key, desired = decision.desired, why = %decision.why, "scale");
            let (before, after) = (self.desired, decision.desired);
            let way = if after > before { "up" } else { "down" };
            // The same words each time, so that it is counted; why is in the node's log.
            let message = format!("Scaled {way} from {before} to {after}");
            self.faces.normal("ScalingReplicaSet", message);
        }
        self.desired = decision.desired;
        let census = self.fleet.census();
        let present = census.starting + census.ready;
        if self.desired < present {
            self.stop_some((present - self.desired) as usize);
        }
        if self.pending(now).is_some() {
            return;
        }
        if self.image.is_some() {
            for _ in present..self.desired {
                self.start_one(now);
            }
        } else if self.image_task.is_none() && self.wants_image(now) {
            self.fetch_image(now);
        }
    }

    /// A registry may have been away for a moment only, and the status should not say so for ever.
    fn wants_image(&self, now: Timestamp) -> bool {
        self.desired > 0 || (self.routed && (self.ever_ready || !self.late(now)))
    }

    /// How memory arrives where the revision does not say, if snapshots are used.
    fn memory(&self) -> Option<Memory> {
        self.saving.is_on().then_some(self.hands.memory)
    }

    /// Has hypervisors made ready, if there is a snapshot of this revision already: of an earlier node.
    fn expect_restores(&self) {
        if let (Some((image, root)), Ok(given)) = (&self.image, &self.given) {
            let (id, log) = (String::new(), PathBuf::new());
            let spec = self
                .workload
                .spec(id, (image, root), given, log, self.memory());
            let _ = self.hands.sandbox.snapshot_of(&spec);
        }
    }

    fn start_one(&mut self, now: Timestamp) {
        let Some((image, root)) = &self.image else {
            return;
        };
        let given = match &self.given {
            Ok(given) => given,
            Err(error) => {
                if !std::mem::replace(&mut self.wanting, true) {
                    warn!(revision = %self.workload.key, %error, "no instance can be started");
                    self.faces.warning("Failed", format!("Error: {error}"));
                }
                return;
            }
        };
        let id = match self.faces.next(now) {
            Ok(id) => id.to_owned(),
            Err(error) => {
                warn!(revision = %self.workload.key, %error, "no random name");
                return;
            }
        };
        let Some(share) = self.hands.budget.take(self.workload.memory_mib()) else {
            if !std::mem::replace(&mut self.starved, true) {
                warn!(revision = %self.workload.key, "the machine's memory is promised to other guests; it waits for one to end");
            }
            return;
        };
        self.starved = false;
        if self.hands.instances.get(&id).is_some() {
            // Its name, and its log, are another's; the next tick finds a better one.
            return self.faces.leave_next();
        }
        let log = self.hands.logs.of(&self.workload.key, &id);
        let reference = &self.workload.image.reference;
        let image_id = reference.with_digest(image.digest.clone()).to_string();
        let spec = self
            .workload
            .spec(id, (image, root), given, log, self.memory());
        let handle = self.hands.sandbox.start(spec);
        self.forward_states(&handle);
        self.hands.instances.add(Instance {
            revision: self.workload.key.clone(),
            container: self.faces.container().to_owned(),
            handle: handle.clone(),
        });
        self.faces.begins(&handle, image_id, now);
        self.fleet.add(handle, given.clone(), share, now);
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
        self.show_endpoints();
        for handle in leaving {
            self.let_go(handle, self.workload.drain(), STOP_GRACE);
        }
    }

    /// Stops an instance that was taken out of service, once it is done with its requests or has had `longest` for them.
    fn let_go(&self, handle: Handle, longest: Duration, grace: Duration) {
        let drained = self.hands.gateway.drained(&self.workload.key, handle.id());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(longest, drained).await;
            handle.stop(grace);
        });
    }

    /// Ends an instance because a client wants it, whether it is needed or not; of one that has ended, the remains go.
    fn end(&mut self, id: &str, grace: Option<u64>) {
        let Some(handle) = self.fleet.take_out_one(id) else {
            if self.faces.is_next(id) {
                return self.faces.leave_next();
            }
            let gone = self.hands.instances.forget(&self.workload.key, id);
            return self.forget(gone.into_iter().collect());
        };
        self.show_endpoints();
        let longest = self.workload.drain();
        let given = grace.map_or(longest, Duration::from_secs);
        self.let_go(handle, longest.min(given), STOP_GRACE.min(given));
    }

    /// Removes what is left of instances that have ended.
    fn forget(&mut self, instances: Vec<Handle>) {
        for instance in &instances {
            self.faces.hide(instance.id());
        }
        remove_logs(instances);
    }

    /// Takes everything down. Of a revision that was deleted, logs and image go too.
    async fn retire(mut self, end: End) {
        if let Some(task) = self.image_task.take() {
            task.abort();
        }
        let Hands {
            gateway,
            instances,
            images,
            sandbox,
            ..
        } = self.hands;
        let key = &self.workload.key;
        let deadline = Instant::now() + self.workload.drain();
        let members = self.fleet.into_members();
        for handle in &members {
            self.faces.leaves(handle, Timestamp::now());
        }
        self.faces.leave_next();
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
        self.faces.hide_scale();
        let ended = instances.take_ended(key);
        drop(self.withdrawn);
        futures_util::future::join_all(ends).await;
        let live = members.iter().map(|handle| handle.id().to_owned());
        let gone = instances.remove(live.chain(ended));
        for handle in &gone {
            self.faces.hide(handle.id());
        }
        if end == End::Deleted {
            remove_logs(gone);
            images.let_go(self.workload.image.holder.clone()).await;
            let (snapshots, key) = (sandbox.snapshots().clone(), self.workload.snapshot_key());
            // Fails only when the runtime goes away; the next node then removes them.
            let _ = tokio::task::spawn_blocking(move || snapshots.remove_all(&key)).await;
        }
    }
}

/// The image, once its task is done; never if there is no task.
async fn arrival(task: &mut Option<ImageTask>, workload: &Workload) -> Fetched {
    match task {
        Some(running) => running
            .await
            .unwrap_or_else(|_| Err(images::Error::Stopped(workload.image.reference.clone()))),
        None => std::future::pending().await,
    }
}

/// The requests that a function has answered; its own refusals are answers, too.
fn answered(stats: &gateway::Stats) -> u64 {
    let [_, success, redirect, client_error, _] = stats.responses;
    success + redirect + client_error
}

fn remove_logs(instances: Vec<Handle>) {
    for instance in instances {
        logs::remove(instance.log().path());
    }
}
