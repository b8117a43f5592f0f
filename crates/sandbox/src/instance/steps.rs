//! The effects: one future per step of an instance's life. None of them touches the instance; each gets what it
//! needs and hands back what it made.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;
use vmm::agent::protocol::Process;
use vmm::agent::{self, Commands, Events, Listener, Session};
use vmm::{Machine, MachineConfig};

use super::folder::Record;
use super::task::Environment;
use super::{TAIL, message};
use crate::arrival::Served;
use crate::config::{Checks, Config, Probe, Spec};
use crate::logs::{Progress, Writer};
use crate::place::{END, Place};
use crate::probe::Function;
use crate::turns::Turn;
use crate::{blocking, chain, probe};

/// The state machine never asks for a step whose means are not there yet.
pub(super) const OUT_OF_ORDER: &str = "it was asked for out of order";

/// What a step came to. Errors are told to the user, so they are text by now.
pub(super) enum Outcome {
    Place(Result<Box<Taken>, String>),
    Hypervisor(Result<Machine, String>),
    Agent(Result<Session, AgentError>),
    Function(Result<(Commands, Events), AgentError>),
    Ready(Result<(), String>),
    Restored(Result<Restored, String>),
    Clone(Result<(Commands, Events), AgentError>),
    Quiescing(Result<(), String>),
    Written(Result<(Machine, TcpListener), String>),
    Asked(Result<(), String>),
    Released,
}

/// What an instance begins with.
pub(super) struct Taken {
    pub(super) place: Place,
    pub(super) log: Writer,
    /// A clone's.
    pub(super) turn: Option<Turn>,
}

/// A machine that goes on where a snapshot was taken.
pub(super) struct Restored {
    pub(super) machine: Machine,
    /// What serves its memory, if it is served.
    pub(super) served: Option<Served>,
}

/// What is wrong with an agent.
pub(super) enum AgentError {
    /// It says that it cannot do what it was asked.
    Refused(String),
    /// It makes no sense, or is gone.
    Lost(String),
}

impl From<agent::Error> for AgentError {
    fn from(error: agent::Error) -> Self {
        match error {
            agent::Error::Failed { .. } => Self::Refused(error.to_string()),
            error => Self::Lost(chain(&error)),
        }
    }
}

impl From<&str> for AgentError {
    fn from(what: &str) -> Self {
        Self::Lost(what.to_owned())
    }
}

/// Finds a place to live in, and opens the log. With a snapshot to restore, the place has a hypervisor that waits.
pub(super) async fn take_place(
    environment: Arc<Environment>,
    spec: Spec,
    restored: bool,
    progress: Progress,
) -> Outcome {
    Outcome::Place(
        async {
            let log = open_log(&environment.config, spec.log.clone(), progress);
            let place = find_place(&environment, &spec, restored);
            let ((place, turn), log) = tokio::try_join!(place, log)?;
            Ok(Box::new(Taken { place, log, turn }))
        }
        .await,
    )
}

async fn find_place(
    environment: &Environment,
    spec: &Spec,
    restored: bool,
) -> Result<(Place, Option<Turn>), String> {
    let Environment {
        config,
        hypervisor,
        networks,
        spares,
        turns,
        ..
    } = environment;
    if !restored {
        return Ok((Place::new(config, networks, &spec.id).await?, None));
    }
    let turn = turns.take().await;
    let shape = spec.shape();
    let place = match spares.take(shape) {
        Some(place) => place,
        None => Place::with_dormant(config, &**hypervisor, networks, &spec.id, shape).await?,
    };
    Ok((place, Some(turn)))
}

async fn open_log(config: &Config, log: PathBuf, progress: Progress) -> Result<Writer, String> {
    let most = config.log_max_bytes;
    blocking(move || {
        Writer::open(&log, most, TAIL, progress)
            .map_err(|error| format!("cannot open the log {}: {error}", log.display()))
    })
    .await
}

/// Starts the hypervisor, and adds its process to the record.
pub(super) async fn boot_hypervisor(
    environment: Arc<Environment>,
    machine: Option<(MachineConfig, String)>,
) -> Outcome {
    Outcome::Hypervisor(
        async {
            let (machine, namespace) = machine.ok_or(OUT_OF_ORDER)?;
            let folder = machine.run_dir.clone();
            let machine = environment
                .hypervisor
                .boot(machine)
                .await
                .map_err(|error| chain(&error))?;
            let record = Record {
                namespace,
                process: Some(machine.process()),
            };
            // Dropping the machine ends it.
            blocking(move || record.write(&folder))
                .await
                .map_err(|error| format!("cannot record its process: {error}"))?;
            Ok(machine)
        }
        .await,
    )
}

/// What the hypervisor is to run for `spec`.
pub(super) fn machine_config(
    environment: &Environment,
    spec: &Spec,
    place: &Place,
    tap: OwnedFd,
) -> MachineConfig {
    MachineConfig {
        name: spec.id.clone(),
        run_dir: place.path().to_owned(),
        kernel: environment.kernel.clone(),
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        root: spec.root.clone(),
        tap,
        accel: environment.config.accel,
        uid_gid: environment.config.user_of(place.network.number),
        extra_cmdline: String::new(),
    }
}

/// Waits for the agent to dial in. The listener is gone after, so the function finds nobody there.
pub(super) async fn await_agent(listener: Option<TcpListener>, within: Duration) -> Outcome {
    Outcome::Agent(
        async {
            let listener = Listener::new(listener.ok_or(OUT_OF_ORDER)?)?;
            Ok(listener.accept(within).await?)
        }
        .await,
    )
}

/// Has the agent start the function.
pub(super) async fn start_function(
    session: Option<Session>,
    mut process: Process,
    within: Duration,
) -> Outcome {
    Outcome::Function(
        async {
            let mut session = session.ok_or(OUT_OF_ORDER)?;
            process.time_unix_us = jiff::Timestamp::now().as_microsecond().unsigned_abs();
            session.start(process, within).await?;
            Ok(session.split())
        }
        .await,
    )
}

/// Waits for the function's probes to succeed.
pub(super) async fn await_readiness(
    function: Option<Function>,
    probe: Probe,
    checks: Checks,
) -> Outcome {
    let ready = match function {
        Some(function) => probe::ready(&function, &probe, &checks).await,
        None => std::future::pending().await,
    };
    Outcome::Ready(ready.map_err(|_: probe::NotStarted| {
        let often = checks.startup.map_or(0, |it| it.timing.failure_threshold);
        format!("its startup probe failed {often} times in a row")
    }))
}

/// Waits until a clone is ready itself, as the instance was that was saved.
pub(super) async fn await_ready_clone(
    function: Option<Function>,
    probe: Probe,
    within: Duration,
) -> Outcome {
    let Some(function) = function else {
        return Outcome::Ready(Err(OUT_OF_ORDER.to_owned()));
    };
    let ready = timeout(within, probe::ready_again(&function, &probe)).await;
    Outcome::Ready(ready.map_err(|_| {
        let expected = message::expected(&probe);
        format!("it was not ready within {within:?}: {expected}")
    }))
}

/// Asks the agent to end the function.
pub(super) async fn ask_to_stop(
    commands: Option<Arc<Mutex<Commands>>>,
    grace: Duration,
) -> Outcome {
    Outcome::Asked(
        async {
            let commands = commands.ok_or(OUT_OF_ORDER)?;
            let asked = commands.lock().await.shutdown(grace).await;
            asked.map_err(|error| chain(&error))
        }
        .await,
    )
}

/// Ends the hypervisor, if it still runs, and then removes what it used.
pub(super) async fn release(
    id: String,
    machine: Option<Machine>,
    served: Option<Served>,
    place: Option<Place>,
) -> Outcome {
    if let Some(mut machine) = machine {
        let process = machine.process();
        match timeout(END, machine.kill()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let error = chain(&error);
                warn!(error, instance = id, %process, "cannot end a hypervisor");
            }
            Err(_) => warn!(instance = id, %process, "a killed hypervisor does not end"),
        }
    }
    // A page server goes after its guest.
    blocking(move || drop(served)).await;
    if let Some(place) = place {
        place.leave().await;
    }
    Outcome::Released
}
