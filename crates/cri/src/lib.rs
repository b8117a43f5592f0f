//! The kubelet's door: the Container Runtime Interface on a Unix socket, with containerd behind it.
//!
//! ```text
//!  kubelet ──► listener ──► method that concerns microVMs? ── no ──► containerd, byte by byte
//!                                 │ yes
//!                                 ▼
//!                        service: ours, containerd's, or both put together
//!                          │                     │
//!                          ▼                     ▼
//!          machine: instance of sandbox     pod sandbox and network:
//!          forward: the pod's ports to it   containerd's and CNI's
//! ```
//!
//! What is not read here passes as it is, with methods and fields that this version knows nothing of.

mod connection;
mod container;
mod forward;
mod grpc;
mod images;
mod listener;
mod log;
mod machine;
mod method;
mod mounts;
mod orchestrator;
mod plan;
mod pod;
mod proto;
mod registry;
mod seed;
mod service;
mod state;
mod stats;
mod upstream;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use image::Store;
use sandbox::{Memory, Sandbox};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use listener::Error as ListenError;
pub use state::Error as StateError;

use crate::images::Images;
use crate::orchestrator::Orchestrator;
use crate::registry::Registry;
use crate::service::Inner;
use crate::state::State;
use crate::upstream::Upstream;

/// How the endpoint is set up.
pub struct Config {
    /// Where the kubelet finds it.
    pub socket: PathBuf,
    /// Where containerd listens.
    pub containerd: PathBuf,
    /// Holds what is to be known after a restart. One process at a time may use it.
    pub state_dir: PathBuf,
    /// Where root file systems are made.
    pub images: Store,
    /// What runs microVMs.
    pub sandbox: Sandbox,
    /// The runtime handlers whose pods are ours; others are containerd's to know.
    pub handlers: Vec<String>,
    /// How the memory of restored instances arrives; without, nothing is saved or restored.
    pub memory: Option<Memory>,
    /// The port, of the loopback, where the original's `proto.Orchestrator` is served; its forwarding greeter on the next. 0 is any.
    pub orchestrator: Option<u16>,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can listen at the socket.
    #[error("the CRI socket is not to be had")]
    Listen(#[from] ListenError),
    /// Nobody can listen for the original's services.
    #[error(
        "cannot listen on port {port} or the next of the loopback; name another with --orchestrator, or 0 for none"
    )]
    Orchestrator {
        /// The first port.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was known before cannot be read.
    #[error("the state of pods cannot be read")]
    State(#[from] StateError),
}

/// The endpoint, shared by all connections.
#[derive(Clone)]
pub(crate) struct Cri(Arc<Inner>);

/// A running endpoint.
pub struct Server {
    cri: Cri,
    sandbox: Sandbox,
    orchestrator: Vec<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Where the original's services listen.
    pub fn orchestrator(&self) -> &[SocketAddr] {
        &self.orchestrator
    }

    /// Reads what is known of pods and begins to listen. What had been running in microVMs ended with the process that ran them, and
    /// is reported as ended. Must be called in a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let upstream = Upstream::new(&config.containerd);
        let state = State::open(&config.state_dir)?;
        let registry = Registry::restored(&state)?;
        let orphans = state.guests()?;
        let orchestrator = match config.orchestrator {
            Some(port) => orchestrator::listen(port)
                .await
                .map(Vec::from)
                .map_err(|source| Error::Orchestrator { port, source })?,
            None => Vec::new(),
        };
        let listener = listener::listen(&config.socket).await?;
        let cri = Cri(Arc::new(Inner::new(
            Images::new(upstream.clone(), config.images),
            upstream,
            registry,
            state,
            config.sandbox.clone(),
            config.handlers,
            config.memory,
        )));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for (_, guest) in &orphans {
            cri.0.addresses.set(&guest.pod, Some(guest.port));
        }
        let (ended, behind) = (stop.clone(), cri.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = behind.catch_up(orphans) => {}
                () = ended.cancelled() => {}
            }
        });
        let by_hand = Orchestrator::new(cri.clone());
        let addresses = orchestrator.iter().filter_map(|it| it.local_addr().ok());
        let addresses = addresses.collect();
        for listener in orchestrator {
            tasks.spawn(by_hand.clone().serve(listener, stop.clone()));
        }
        tasks.spawn(listener::serve(
            listener,
            cri.clone(),
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            cri,
            sandbox: config.sandbox,
            orchestrator: addresses,
            stop,
            tasks,
        })
    }

    /// Takes no more calls, ends the microVMs with this grace for what runs in them, and returns when nothing is left.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        self.sandbox.shutdown(grace).await;
        self.cri.0.settled().await;
        self.tasks.close();
        // Somebody may be following events, for ever.
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
    }
}

/// An error with everything that caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
