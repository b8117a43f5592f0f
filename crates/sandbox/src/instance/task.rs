//! The task that owns an instance: it waits for what happens, asks [`crate::lifecycle`] what that means, and does it.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, debug, info, warn};
use vmm::agent::{self, Commands, Event as Said, Events, Session};
use vmm::kernel::Kernel;
use vmm::{Hypervisor, Machine};

use super::handle::{Order, Phase, Shared};
use super::held::Held;
use super::message::{self, Circumstances, Death};
use super::restoring::{self, Clone};
use super::saving::{self, Answer, SaveError};
use super::steps::{self, AgentError, Outcome, Taken};
use crate::arrival::{self, Served};
use crate::config::{Checks, Config, Spec};
use crate::lifecycle::{Action, Drain, Event, Stage, step};
use crate::logs::{Progress, Stream, Writer};
use crate::network::Pool as Networks;
use crate::place::Place;
use crate::probe::{self, Function};
use crate::snapshots::{Origin, Snapshot, Snapshots};
use crate::spares::Spares;
use crate::state::{Exit, Failure, Reason, State};
use crate::turns::{Turn, Turns};
use crate::{chain, exec};

/// From the start of a restore until the agent has been told who it is, and the same after a save, unless not even a boot may take
/// so long.
const RESTORE_DEADLINE: Duration = Duration::from_secs(60);
/// From asking the agent to hang up until the guest is written: a GiB takes a second or two.
const SAVE_DEADLINE: Duration = Duration::from_secs(120);

/// What all instances of a node share.
pub(crate) struct Environment {
    pub(crate) config: Config,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) kernel: Kernel,
    pub(crate) networks: Networks,
    pub(crate) spares: Spares,
    pub(crate) turns: Turns,
    pub(crate) snapshots: Snapshots,
}

impl Environment {
    fn restore_deadline(&self) -> Duration {
        RESTORE_DEADLINE.min(self.config.boot_deadline)
    }

    /// What a snapshot of an instance of `spec` is, or must be, taken of.
    pub(crate) fn origin(&self, spec: &Spec) -> Origin {
        Origin {
            root: spec
                .root
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            kernel: self.kernel.digest.clone(),
            hypervisor: self.hypervisor.identity(),
            cpu: crate::processor::seen_by_guests(self.config.accel),
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            process: spec.process_digest(),
        }
    }
}

/// One instance and everything it owns. Dropping it anywhere takes all of that down.
pub(crate) struct Task {
    environment: Arc<Environment>,
    shared: Arc<Shared>,
    spec: Spec,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Until it is gone, the log's readers wait for more.
    progress: Progress,

    /// The step under way.
    step: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    deadline: Option<Instant>,
    /// When the phase under way began.
    phase: Instant,
    /// Until it is ready or fails, if it is restored.
    turn: Option<Turn>,
    /// While it is ready, the end of its function's health.
    health: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What the part that failed said of itself.
    trouble: Option<String>,

    /// What it is restored from.
    snapshot: Option<Arc<Snapshot>>,
    /// The snapshot that is being taken, and who waits for it.
    save: Option<Answer>,

    // In the order in which they have to go.
    machine: Option<Machine>,
    ended: Option<Death>,
    /// What serves the memory of a restored guest.
    served: Option<Served>,
    session: Option<Session>,
    commands: Option<Arc<Mutex<Commands>>>,
    events: Option<Events>,
    log: Option<Writer>,
    place: Option<Place>,
    held: Held,
}

/// What the task waits for, as it comes.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, for a moment"
)]
enum Happened {
    Ordered(Order),
    DeadlinePassed,
    StepDone(Outcome),
    Said(Result<Said, agent::Error>),
    Died(Death),
    MemoryLost(String),
    Unhealthy,
}

impl Task {
    pub(crate) fn new(
        environment: Arc<Environment>,
        shared: Arc<Shared>,
        spec: Spec,
        orders: mpsc::UnboundedReceiver<Order>,
        progress: Progress,
        snapshot: Option<Arc<Snapshot>>,
    ) -> Self {
        Self {
            environment,
            shared,
            spec,
            orders,
            progress,
            step: None,
            deadline: None,
            phase: Instant::now(),
            turn: None,
            health: None,
            trouble: None,
            snapshot,
            save: None,
            machine: None,
            ended: None,
            served: None,
            session: None,
            commands: None,
            events: None,
            log: None,
            place: None,
            held: Held::default(),
        }
    }

    /// Takes the instance through its life, until everything it owned is gone.
    pub(crate) async fn run(mut self) {
        let mut stage = Stage::Pending;
        let mut event = Event::Begun;
        loop {
            let (next, action) = step(stage, event);
            if next != stage {
                debug!(?stage, ?event, ?next, "transition");
                self.publish(next);
            }
            self.perform(action, stage);
            stage = next;
            if event == Event::Released {
                return;
            }
            event = self.next_event().await;
        }
    }

    /// Begins what the state machine wants done.
    fn perform(&mut self, action: Action, stage: Stage) {
        let environment = self.environment.clone();
        match action {
            Action::Nothing => {}
            Action::TakePlace => {
                self.deadline = Instant::now().checked_add(environment.config.boot_deadline);
                let (spec, restored) = (self.spec.clone(), self.snapshot.is_some());
                let progress = self.progress.clone();
                self.begin(steps::take_place(environment, spec, restored, progress));
            }
            Action::BootHypervisor => {
                let machine = self.place.as_mut().and_then(|place| {
                    let tap = place.network.tap.take()?;
                    let machine = steps::machine_config(&environment, &self.spec, place, tap);
                    Some((machine, place.network.name().to_owned()))
                });
                self.begin(steps::boot_hypervisor(environment, machine));
            }
            Action::AwaitAgent => {
                let deadline = environment.config.boot_deadline;
                let listener = self.listener();
                self.begin(steps::await_agent(listener, deadline));
            }
            Action::Restore => {
                self.deadline = Instant::now().checked_add(environment.restore_deadline());
                let clone = self.clone_config();
                self.begin(restoring::restore(environment, clone));
            }
            Action::AwaitClone => {
                let within = environment.restore_deadline();
                self.deadline = Instant::now().checked_add(within);
                let identity = restoring::Identity::of(&self.spec, self.held.or(&self.spec));
                let listener = self.listener();
                self.begin(restoring::await_clone(listener, identity, within));
            }
            Action::Quiesce => {
                self.deadline = Instant::now().checked_add(SAVE_DEADLINE);
                self.begin(saving::quiesce(self.commands.clone()));
            }
            Action::Write => {
                self.shared.door.close();
                (self.commands, self.events) = (None, None);
                let order = self.save_order();
                let namespace = self
                    .place
                    .as_ref()
                    .map(|place| place.network.namespace.clone());
                let machine = self.machine.take();
                self.begin(saving::write(machine, namespace, order));
            }
            Action::StartFunction => {
                let process = self.spec.process.clone();
                let session = self.session.take();
                let deadline = environment.config.boot_deadline;
                self.begin(steps::start_function(session, process, deadline));
            }
            Action::AwaitReadiness => {
                self.deadline = Instant::now().checked_add(self.spec.ready_deadline);
                let function = self.function();
                let (probe, checks) = (self.spec.probe.clone(), self.spec.checks.clone());
                self.begin(steps::await_readiness(function, probe, checks));
            }
            Action::AwaitReadyClone => {
                let within = environment.restore_deadline();
                let (function, probe) = (self.function(), self.spec.probe.clone());
                self.begin(steps::await_ready_clone(function, probe, within));
            }
            Action::AskToStop { grace } => {
                let over = Instant::now().checked_add(grace);
                self.deadline = match (stage, self.deadline, over) {
                    (Stage::Draining(Drain::Asked), Some(before), Some(over)) => {
                        Some(before.min(over))
                    }
                    (_, _, over) => over,
                };
                self.begin(steps::ask_to_stop(self.commands.clone(), grace));
            }
            Action::Release => {
                self.deadline = None;
                self.shared.set_namespace(None);
                self.shared.door.close();
                let machine = self.machine.take().filter(|_| self.ended.is_none());
                let (served, place) = (self.served.take(), self.place.take());
                let id = self.spec.id.clone();
                self.begin(steps::release(id, machine, served, place));
            }
        }
    }

    /// The function, to be asked how it is.
    fn function(&self) -> Option<Function> {
        let place = self.place.as_ref()?;
        Some(Function {
            dial: probe::dial(place.network.namespace.clone()),
            door: self.shared.door.clone(),
        })
    }

    /// Keeps the way to a guest whose function runs.
    fn reached(&mut self, commands: Commands, events: Events) {
        let commands = Arc::new(Mutex::new(commands));
        self.shared.door.open(exec::by_agent(commands.clone()));
        self.commands = Some(commands);
        self.events = Some(events);
    }

    fn listener(&mut self) -> Option<std::net::TcpListener> {
        self.place.as_mut()?.network.agent.take()
    }

    fn clone_config(&mut self) -> Option<Clone> {
        let place = self.place.as_mut()?;
        Some(Clone {
            dormant: place.dormant.take()?,
            snapshot: self.snapshot.clone()?,
            root: self.spec.root.clone(),
            memory: self.spec.snapshot.as_ref()?.memory,
            folder: place.path().to_owned(),
        })
    }

    fn save_order(&mut self) -> Option<saving::Order> {
        Some(saving::Order {
            snapshots: self.environment.snapshots.clone(),
            key: self.spec.snapshot.as_ref()?.key.clone(),
            origin: self.environment.origin(&self.spec),
            spares: self.environment.spares.clone(),
            shape: self.spec.shape(),
            answer: self.save.take()?,
        })
    }

    /// What an order means here and now; `None` if it changes nothing for the state machine.
    fn obey(&mut self, order: Order) -> Option<Event> {
        match order {
            Order::Stop(grace) => Some(Event::StopAsked { grace }),
            Order::Save(answer) => self.accept_save(answer),
            Order::Served => {
                if let Some(served) = &mut self.served {
                    served.finish_recording();
                }
                None
            }
            Order::Update(volumes) => {
                self.held.update(volumes);
                self.tell_volumes();
                None
            }
        }
    }

    /// Tells the agent what volumes hold, if that has changed and it listens. An agent that begins, or comes back, is told with
    /// the rest, and here what has changed since.
    fn tell_volumes(&mut self) {
        let Some(commands) = &self.commands else {
            return;
        };
        let Some(news) = self.held.news() else {
            return;
        };
        let commands = commands.clone();
        let told = async move {
            let mut commands = commands.lock().await;
            // Not before it is this one's turn to speak: of two, the last must say what holds last.
            let volumes = news.latest();
            if let Err(error) = commands.update(volumes).await {
                // The instance goes on with what it has, until its agent is found lost.
                warn!(error = chain(&error), "volumes were not updated");
            }
        };
        tokio::spawn(told.in_current_span());
    }

    fn accept_save(&mut self, answer: Answer) -> Option<Event> {
        let refusal = match (&self.spec.snapshot, &self.snapshot) {
            (None, _) => SaveError::NotForThis("was started without leave to be saved"),
            (_, Some(_)) => SaveError::NotForThis("was itself restored from a snapshot"),
            _ if *self.shared.state.borrow() != State::Ready
                || !self.shared.well.load(Ordering::Acquire) =>
            {
                SaveError::NotReady
            }
            _ => {
                self.save = Some(answer);
                return Some(Event::SaveAsked);
            }
        };
        // Whoever asked may have gone.
        let _ = answer.send(Err(refusal));
        None
    }

    fn begin(&mut self, step: impl Future<Output = Outcome> + Send + 'static) {
        self.step = Some(Box::pin(step));
    }

    /// Waits for the next thing that matters to the state machine.
    async fn next_event(&mut self) -> Event {
        loop {
            let happened = tokio::select! {
                // A flood of output must keep neither a stop nor a deadline waiting. A death comes last: everything
                // the agent said before is there by then, and may explain it.
                biased;
                Some(order) = self.orders.recv() => Happened::Ordered(order),
                () = at(self.deadline) => Happened::DeadlinePassed,
                outcome = present(&mut self.step) => Happened::StepDone(outcome),
                said = hear(&mut self.events) => Happened::Said(said),
                error = arrival::lost(self.served.as_ref()) => Happened::MemoryLost(error),
                () = unhealthy(&mut self.health) => Happened::Unhealthy,
                death = death(&mut self.machine), if self.ended.is_none() => Happened::Died(death),
            };
            let event = match happened {
                Happened::Ordered(order) => self.obey(order),
                Happened::DeadlinePassed => {
                    self.deadline = None;
                    Some(Event::DeadlinePassed)
                }
                Happened::StepDone(outcome) => {
                    self.step = None;
                    self.keep(outcome)
                }
                Happened::Said(said) => self.listen(said),
                Happened::MemoryLost(error) => {
                    self.trouble = Some(error);
                    Some(Event::MemoryLost)
                }
                Happened::Unhealthy => {
                    self.health = None;
                    let checks = &self.spec.checks;
                    let often = checks
                        .liveness
                        .as_ref()
                        .map(|it| it.timing.failure_threshold);
                    let often = often.unwrap_or(0);
                    self.trouble =
                        Some(format!("its liveness probe failed {often} times in a row"));
                    Some(Event::Unhealthy)
                }
                Happened::Died(death) => {
                    self.shared.killed.store(death.killed, Ordering::Release);
                    self.ended = Some(death);
                    Some(Event::HypervisorDied)
                }
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Keeps what a step made, and says what it means.
    fn keep(&mut self, outcome: Outcome) -> Option<Event> {
        let event = match outcome {
            Outcome::Place(Ok(taken)) => {
                let namespace = taken.place.network.namespace.clone();
                self.shared.set_namespace(Some(namespace));
                let Taken { place, log, turn } = *taken;
                (self.place, self.log, self.turn) = (Some(place), Some(log), turn);
                self.end_phase(if self.snapshot.is_some() {
                    "pool"
                } else {
                    "network"
                });
                Event::PlaceTaken {
                    snapshot: self.snapshot.is_some(),
                }
            }
            Outcome::Restored(Ok(restored)) => {
                let _ = self.shared.pid.set(restored.machine.process().pid);
                for (name, duration) in restored.machine.phases() {
                    self.shared.add_phase(Phase {
                        name,
                        duration: *duration,
                    });
                }
                self.phase = Instant::now();
                self.machine = Some(restored.machine);
                self.served = restored.served;
                Event::HypervisorUp
            }
            Outcome::Clone(Ok((commands, events))) => {
                self.deadline = None;
                // What is waited for from here on is the function's time, not the machine's.
                self.turn = None;
                self.reached(commands, events);
                if *self.shared.state.borrow() == State::Starting {
                    self.end_phase("agent");
                }
                self.tell_volumes();
                Event::CloneResumed {
                    ask: probe::says_more(&self.spec.probe, &self.spec.checks.readiness),
                }
            }
            Outcome::Written(Ok((machine, agent))) => {
                self.machine = Some(machine);
                if let Some(place) = &mut self.place {
                    place.network.agent = Some(agent);
                }
                Event::Written
            }
            Outcome::Hypervisor(Ok(machine)) => {
                // Set once: an instance has one hypervisor.
                let _ = self.shared.pid.set(machine.process().pid);
                self.machine = Some(machine);
                self.end_phase("hypervisor");
                Event::HypervisorUp
            }
            Outcome::Agent(Ok(session)) => {
                self.session = Some(session);
                self.end_phase("boot");
                Event::AgentConnected
            }
            Outcome::Function(Ok((commands, events))) => {
                self.reached(commands, events);
                self.end_phase("agent");
                self.tell_volumes();
                Event::FunctionStarted
            }
            Outcome::Ready(Ok(())) => {
                self.deadline = None;
                self.end_phase("function");
                Event::FunctionReady
            }
            // The agent's answer comes with the events.
            Outcome::Asked(Ok(())) | Outcome::Quiescing(Ok(())) => return None,
            Outcome::Released => Event::Released,
            Outcome::Place(Err(trouble))
            | Outcome::Hypervisor(Err(trouble))
            | Outcome::Ready(Err(trouble))
            | Outcome::Restored(Err(trouble))
            | Outcome::Quiescing(Err(trouble))
            | Outcome::Written(Err(trouble)) => {
                self.trouble = Some(trouble);
                Event::StepFailed
            }
            Outcome::Agent(Err(AgentError::Refused(trouble)))
            | Outcome::Function(Err(AgentError::Refused(trouble)))
            | Outcome::Clone(Err(AgentError::Refused(trouble))) => {
                self.trouble = Some(trouble);
                Event::AgentFailed
            }
            Outcome::Agent(Err(AgentError::Lost(trouble)))
            | Outcome::Function(Err(AgentError::Lost(trouble)))
            | Outcome::Clone(Err(AgentError::Lost(trouble)))
            | Outcome::Asked(Err(trouble)) => {
                self.trouble = Some(trouble);
                Event::AgentLost
            }
        };
        Some(event)
    }

    /// Takes what the agent said: output goes to the log, the rest may mean something.
    fn listen(&mut self, said: Result<Said, agent::Error>) -> Option<Event> {
        let (stream, bytes) = match said {
            Ok(Said::Stdout(bytes)) => (Stream::Stdout, bytes),
            Ok(Said::Stderr(bytes)) => (Stream::Stderr, bytes),
            Ok(Said::Quiesced) => {
                self.events = None;
                return Some(Event::Quiesced);
            }
            last => {
                self.events = None;
                if let Some(log) = &mut self.log {
                    log.finish(Timestamp::now());
                }
                return Some(self.last_word(last));
            }
        };
        if let Some(log) = &mut self.log {
            log.write(stream, &bytes, Timestamp::now());
        }
        None
    }

    fn last_word(&mut self, said: Result<Said, agent::Error>) -> Event {
        let trouble = match said {
            Ok(Said::Exited(exited)) => {
                let exit = Exit {
                    code: exited.code,
                    signal: exited.signal,
                };
                // The last message of the connection, and of a connection that has one there is no successor.
                let _ = self.shared.exit.set(exit);
                return Event::FunctionEnded {
                    exit,
                    oom: exited.oom,
                };
            }
            Ok(Said::Failed(failed)) => {
                self.trouble = Some(format!("{}: {}", failed.stage, failed.message));
                return Event::AgentFailed;
            }
            Ok(_) => "it closed its connection".to_owned(),
            Err(error) => chain(&error),
        };
        self.trouble = Some(trouble);
        Event::AgentLost
    }

    fn end_phase(&mut self, name: &'static str) {
        let now = Instant::now();
        self.shared.add_phase(Phase {
            name,
            duration: now - self.phase,
        });
        self.phase = now;
    }

    /// Watches over the function's health if it is ready: while it is saved it does not answer, and when it ends it need not.
    fn watch_health(&mut self, stage: Stage) {
        self.health = None;
        let Some(function) = self.function().filter(|_| stage == Stage::Ready) else {
            return;
        };
        let Checks {
            readiness,
            liveness,
            startup: _,
        } = self.spec.checks.clone();
        let (probe, shared) = (self.spec.probe.clone(), self.shared.clone());
        // As it was before it was saved.
        let well = shared.well.load(Ordering::Acquire);
        self.health = Some(Box::pin(async move {
            let told = |well| {
                info!(instance = shared.id, well, "readiness probe");
                shared.well.store(well, Ordering::Release);
            };
            let lost = async {
                match liveness {
                    Some(liveness) => probe::lost(&function, liveness).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = lost => {}
                () = probe::follow(&function, probe, readiness, well, told) => {}
            }
        }));
    }

    /// Tells the world, if it is news.
    fn publish(&mut self, stage: Stage) {
        self.watch_health(stage);
        if !matches!(stage, Stage::Pending | Stage::Starting(_)) {
            self.turn = None;
        }
        let instance = &self.shared.id;
        let news = match stage {
            Stage::Pending => State::Pending,
            Stage::Starting(_) => State::Starting,
            Stage::Ready if *self.shared.state.borrow() == State::Saving => State::Ready,
            Stage::Ready => {
                info!(instance, phases = ?self.shared.phases(), "ready");
                State::Ready
            }
            Stage::Saving(_) => State::Saving,
            Stage::Draining(_) => State::Draining,
            Stage::Stopped => {
                info!(instance, "stopped");
                State::Stopped
            }
            Stage::Failed(reason) => {
                let failure = self.describe(reason);
                warn!(
                    instance,
                    reason = reason.name(),
                    error = failure.message,
                    "failed"
                );
                if let (Reason::RestoreFailed, Some(snapshot)) = (reason, &self.snapshot) {
                    warn!(snapshot = snapshot.manifest().id, "it is not used again");
                    // Before the failure is known: whoever hears of it may start the next at once.
                    self.environment.snapshots.discard(&snapshot.manifest().id);
                }
                State::Failed(failure)
            }
        };
        self.shared.set_state(news);
    }

    fn describe(&self, reason: Reason) -> Failure {
        let console = match (&self.ended, &self.machine) {
            (Some(death), _) => death.console.clone(),
            (None, Some(machine)) => machine.console_tail(),
            (None, None) => String::new(),
        };
        let detail = match (reason, &self.ended) {
            (Reason::HypervisorDied, Some(death)) => Some(death.detail.as_str()),
            _ => self.trouble.as_deref(),
        };
        message::failure(
            reason,
            &Circumstances {
                detail,
                log: self.log.iter().flat_map(|log| log.tail().lines()).collect(),
                console: message::last_lines(&console),
                hypervisor: self.environment.hypervisor.name(),
                boot_deadline: self.environment.config.boot_deadline,
                ready_deadline: self.spec.ready_deadline,
                memory_mib: self.spec.memory_mib,
                probe: &self.spec.probe,
            },
        )
    }
}

/// The present step's outcome; never, if there is none.
async fn present(step: &mut Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>) -> Outcome {
    match step {
        Some(step) => step.await,
        None => pending().await,
    }
}

async fn unhealthy(health: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match health {
        Some(health) => health.await,
        None => pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

async fn hear(events: &mut Option<Events>) -> Result<Said, agent::Error> {
    match events {
        Some(events) => events.next().await,
        None => pending().await,
    }
}

async fn death(machine: &mut Option<Machine>) -> Death {
    match machine {
        Some(machine) => message::death(machine.wait().await),
        None => pending().await,
    }
}
