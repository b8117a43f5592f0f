//! The effects: one future per step of an instance's life. None of them touches the instance; each gets what it
//! needs and hands back what it made.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sys::netns::NetNs;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;
use vmm::agent::protocol::Process;
use vmm::agent::{self, Commands, Events, Listener, Session};
use vmm::{Machine, MachineConfig};

use super::TAIL;
use super::folder::{Folder, Record};
use super::task::Environment;
use crate::config::{Probe, Spec};
use crate::logs::{Progress, Writer};
use crate::network::Network;
use crate::{blocking, chain, probe};

/// The state machine never asks for a step whose means are not there yet.
const OUT_OF_ORDER: &str = "it was asked for out of order";

/// How long a killed hypervisor may take to end.
const END: Duration = Duration::from_secs(10);

/// What a step came to. Errors are told to the user, so they are text by now.
pub(super) enum Outcome {
    Network(Result<Place, String>),
    Hypervisor(Result<Machine, String>),
    Agent(Result<Session, AgentError>),
    Function(Result<(Commands, Events), AgentError>),
    Ready,
    Asked(Result<(), String>),
    Released,
}

/// Where an instance lives.
pub(super) struct Place {
    pub(super) folder: Folder,
    pub(super) network: Network,
    pub(super) log: Writer,
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

/// Takes a network, makes the folder, records there what will have to be cleaned up, and opens the log.
pub(super) async fn take_network(
    environment: Arc<Environment>,
    id: String,
    log: PathBuf,
    progress: Progress,
) -> Outcome {
    Outcome::Network(
        async {
            let network = environment
                .pool
                .take()
                .await
                .map_err(|error| chain(&error))?;
            blocking(move || {
                let config = &environment.config;
                let path = config.run_dir.join(&id);
                let in_folder = |error: io::Error| {
                    format!("cannot set up the folder {}: {error}", path.display())
                };
                let folder = Folder::create(&path).map_err(in_folder)?;
                Record {
                    namespace: network.name().to_owned(),
                    process: None,
                }
                .write(folder.path())
                .map_err(in_folder)?;
                let log = Writer::open(&log, config.log_max_bytes, TAIL, progress)
                    .map_err(|error| format!("cannot open the log {}: {error}", log.display()))?;
                Ok(Place {
                    folder,
                    network,
                    log,
                })
            })
            .await
        }
        .await,
    )
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
    folder: PathBuf,
    network: u64,
    tap: OwnedFd,
) -> MachineConfig {
    MachineConfig {
        name: spec.id.clone(),
        run_dir: folder,
        kernel: environment.kernel.clone(),
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        root: spec.root.clone(),
        tap,
        accel: environment.config.accel,
        uid_gid: environment
            .config
            .hypervisor_users
            .map(|users| users.of(network)),
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

/// Waits for the function's probe to succeed.
pub(super) async fn await_readiness(namespace: Option<Arc<NetNs>>, probe: Probe) -> Outcome {
    match namespace {
        Some(namespace) => probe::succeeds(&namespace, &probe).await,
        None => std::future::pending().await,
    }
    Outcome::Ready
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
    network: Option<Network>,
    folder: Option<Folder>,
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
    blocking(move || {
        drop(network);
        drop(folder);
    })
    .await;
    Outcome::Released
}
