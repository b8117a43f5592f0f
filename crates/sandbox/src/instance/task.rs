//! The task that owns an instance: it waits for what happens, asks [`crate::lifecycle`] what that means, and does it.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};
use vmm::agent::{self, Commands, Event as Said, Events, Session};
use vmm::kernel::Kernel;
use vmm::{Hypervisor, Machine};

use super::folder::Folder;
use super::handle::{Phase, Shared};
use super::message::Death;
use super::message::{self, Circumstances};
use super::steps::{self, AgentError, Outcome};
use crate::chain;
use crate::config::{Config, Spec};
use crate::lifecycle::{Action, Drain, Event, Stage, step};
use crate::logs::{Progress, Stream, Writer};
use crate::network::{Network, Pool};
use crate::state::{Exit, Failure, Reason, State};

/// What all instances of a node share.
pub(crate) struct Environment {
    pub(crate) config: Config,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) kernel: Kernel,
    pub(crate) pool: Pool,
}

/// One instance and everything it owns. Dropping it anywhere takes all of that down.
pub(crate) struct Task {
    environment: Arc<Environment>,
    shared: Arc<Shared>,
    spec: Spec,
    stops: mpsc::UnboundedReceiver<Duration>,
    /// Until it is gone, the log's readers wait for more.
    progress: Progress,

    /// The step under way.
    step: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    deadline: Option<Instant>,
    /// When the phase under way began.
    phase: Instant,
    /// What the part that failed said of itself.
    trouble: Option<String>,

    // In the order in which they have to go.
    machine: Option<Machine>,
    ended: Option<Death>,
    session: Option<Session>,
    commands: Option<Arc<Mutex<Commands>>>,
    events: Option<Events>,
    log: Option<Writer>,
    network: Option<Network>,
    folder: Option<Folder>,
}

/// What the task waits for, as it comes.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, for a moment"
)]
enum Happened {
    StopAsked(Duration),
    DeadlinePassed,
    StepDone(Outcome),
    Said(Result<Said, agent::Error>),
    Died(Death),
}

impl Task {
    pub(crate) fn new(
        environment: Arc<Environment>,
        shared: Arc<Shared>,
        spec: Spec,
        stops: mpsc::UnboundedReceiver<Duration>,
        progress: Progress,
    ) -> Self {
        Self {
            environment,
            shared,
            spec,
            stops,
            progress,
            step: None,
            deadline: None,
            phase: Instant::now(),
            trouble: None,
            machine: None,
            ended: None,
            session: None,
            commands: None,
            events: None,
            log: None,
            network: None,
            folder: None,
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
            Action::TakeNetwork => {
                self.deadline = Instant::now().checked_add(environment.config.boot_deadline);
                let (id, log) = (self.spec.id.clone(), self.spec.log.clone());
                let progress = self.progress.clone();
                self.begin(steps::take_network(environment, id, log, progress));
            }
            Action::BootHypervisor => {
                let machine = match (&self.folder, &mut self.network) {
                    (Some(folder), Some(network)) => network.tap.take().map(|tap| {
                        let folder = folder.path().to_owned();
                        let number = network.number;
                        let machine =
                            steps::machine_config(&environment, &self.spec, folder, number, tap);
                        (machine, network.name().to_owned())
                    }),
                    _ => None,
                };
                self.begin(steps::boot_hypervisor(environment, machine));
            }
            Action::AwaitAgent => {
                let listener = self
                    .network
                    .as_mut()
                    .and_then(|network| network.agent.take());
                let deadline = environment.config.boot_deadline;
                self.begin(steps::await_agent(listener, deadline));
            }
            Action::StartFunction => {
                let process = self.spec.process.clone();
                let session = self.session.take();
                let deadline = environment.config.boot_deadline;
                self.begin(steps::start_function(session, process, deadline));
            }
            Action::AwaitReadiness => {
                self.deadline = Instant::now().checked_add(self.spec.ready_deadline);
                let network = self.network.as_ref();
                let namespace = network.map(|network| network.namespace.clone());
                self.begin(steps::await_readiness(namespace, self.spec.probe.clone()));
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
                let machine = self.machine.take().filter(|_| self.ended.is_none());
                let (network, folder) = (self.network.take(), self.folder.take());
                let id = self.spec.id.clone();
                self.begin(steps::release(id, machine, network, folder));
            }
        }
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
                Some(grace) = self.stops.recv() => Happened::StopAsked(grace),
                () = at(self.deadline) => Happened::DeadlinePassed,
                outcome = present(&mut self.step) => Happened::StepDone(outcome),
                said = hear(&mut self.events) => Happened::Said(said),
                death = death(&mut self.machine), if self.ended.is_none() => Happened::Died(death),
            };
            let event = match happened {
                Happened::StopAsked(grace) => Some(Event::StopAsked { grace }),
                Happened::DeadlinePassed => {
                    self.deadline = None;
                    Some(Event::DeadlinePassed)
                }
                Happened::StepDone(outcome) => {
                    self.step = None;
                    self.keep(outcome)
                }
                Happened::Said(said) => self.listen(said),
                Happened::Died(death) => {
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
            Outcome::Network(Ok(place)) => {
                self.shared
                    .set_namespace(Some(place.network.namespace.clone()));
                self.network = Some(place.network);
                self.folder = Some(place.folder);
                self.log = Some(place.log);
                self.end_phase("network");
                Event::NetworkTaken
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
                self.commands = Some(Arc::new(Mutex::new(commands)));
                self.events = Some(events);
                self.end_phase("agent");
                Event::FunctionStarted
            }
            Outcome::Ready => {
                self.deadline = None;
                self.end_phase("function");
                Event::FunctionReady
            }
            Outcome::Asked(Ok(())) => return None,
            Outcome::Released => Event::Released,
            Outcome::Network(Err(trouble)) | Outcome::Hypervisor(Err(trouble)) => {
                self.trouble = Some(trouble);
                Event::StepFailed
            }
            Outcome::Agent(Err(AgentError::Refused(trouble)))
            | Outcome::Function(Err(AgentError::Refused(trouble))) => {
                self.trouble = Some(trouble);
                Event::AgentFailed
            }
            Outcome::Agent(Err(AgentError::Lost(trouble)))
            | Outcome::Function(Err(AgentError::Lost(trouble)))
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
                return Event::FunctionEnded {
                    exit: Exit {
                        code: exited.code,
                        signal: exited.signal,
                    },
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

    /// Tells the world, if it is news.
    fn publish(&self, stage: Stage) {
        let instance = &self.shared.id;
        let news = match stage {
            Stage::Pending => State::Pending,
            Stage::Starting(_) => State::Starting,
            Stage::Ready => {
                info!(instance, phases = ?self.shared.phases(), "ready");
                State::Ready
            }
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
