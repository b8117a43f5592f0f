//! The effects of the short way up: a hypervisor that waits becomes a clone, and its agent is told who it is.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sys::netns::{self, NetNs};
use tokio::time::{Instant, sleep};
use vmm::agent::Listener;
use vmm::agent::protocol::{self, Contents, GuestFile, Resume};
use vmm::{Dormant, RestoreConfig};

use super::steps::{AgentError, OUT_OF_ORDER, Outcome, Restored};
use super::task::Environment;
use crate::arrival::{self, Arrival, Before};
use crate::config::{Memory, Spec};
use crate::snapshots::Snapshot;
use crate::{blocking, chain};

/// Bytes of entropy that a guest is given: what its kernel takes to seed itself.
const ENTROPY: usize = 32;

/// How long the address of an agent's listener may stay in use after it was closed.
const IN_USE: Duration = Duration::from_secs(5);
/// Between two tries to listen there.
const AGAIN: Duration = Duration::from_millis(2);

/// What a clone is made of.
pub(super) struct Clone {
    pub(super) dormant: Dormant,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) root: PathBuf,
    pub(super) memory: Memory,
    /// The instance's folder.
    pub(super) folder: PathBuf,
}

/// What a guest that comes back is to be.
pub(super) struct Identity {
    hostname: String,
    files: Vec<GuestFile>,
    volumes: Vec<Contents>,
}

impl Identity {
    pub(super) fn of(spec: &Spec, volumes: Vec<Contents>) -> Self {
        Self {
            hostname: spec.process.hostname.clone(),
            files: spec.process.files.clone(),
            volumes,
        }
    }
}

/// Lets the hypervisor load the snapshot and the guest go on.
pub(super) async fn restore(environment: Arc<Environment>, clone: Option<Clone>) -> Outcome {
    Outcome::Restored(
        async {
            let Clone {
                dormant,
                snapshot,
                root,
                memory,
                folder,
            } = clone.ok_or(OUT_OF_ORDER)?;
            snapshot.used(jiff::Timestamp::now());
            let (state, arrival) = blocking(move || {
                let path = snapshot.state();
                let state = File::open(&path)
                    .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
                let arrival = arrival::arrange(&snapshot, memory, &folder)?;
                Ok::<_, String>((state, arrival))
            })
            .await?;
            let Arrival { backing, served } = arrival;
            let gate = |step| served.as_ref().and_then(|served| served.gate(step));
            let config = RestoreConfig {
                root,
                state,
                memory: backing,
                before_load: gate(Before::Load),
                before_resume: gate(Before::Resume),
            };
            let machine = tokio::select! {
                restored = environment.hypervisor.restore(dormant, config) => {
                    restored.map_err(|error| chain(&error))?
                }
                // A hypervisor that loads its state touches memory, and would wait for ever.
                error = arrival::lost(served.as_ref()) => return Err(error),
            };
            Ok(Restored { machine, served })
        }
        .await,
    )
}

/// Waits for the agent of a guest that comes back, and tells it the time and who it is.
///
/// The listener of a place is there before its guest is; after a guest was saved it is made anew.
pub(super) async fn await_clone(
    listener: Option<TcpListener>,
    identity: Identity,
    within: Duration,
) -> Outcome {
    Outcome::Clone(
        async {
            let listener = Listener::new(listener.ok_or(OUT_OF_ORDER)?)?;
            let mut session = listener.accept_resumed(within).await?;
            let resume = Resume {
                time_unix_us: jiff::Timestamp::now().as_microsecond().unsigned_abs(),
                entropy: entropy()?,
                hostname: identity.hostname,
                files: identity.files,
                volumes: identity.volumes,
            };
            session.resume(resume, within).await?;
            Ok(session.split())
        }
        .await,
    )
}

/// Random bytes for one guest alone.
fn entropy() -> Result<Vec<u8>, AgentError> {
    let mut bytes = vec![0; ENTROPY];
    getrandom::fill(&mut bytes)
        .map_err(|error| AgentError::Lost(format!("there are no random bytes for it: {error}")))?;
    Ok(bytes)
}

/// The agent's listener in the namespace, for the agent to come back to.
///
/// A program that another thread is about to start has all descriptors of this process until it runs, and so perhaps that of the
/// listener that the agent first came to: its address is in use for that moment longer.
pub(super) async fn listen(namespace: &NetNs) -> Result<TcpListener, String> {
    let address = SocketAddrV4::new(protocol::HOST, protocol::HOST_PORT);
    let given_up = Instant::now() + IN_USE;
    loop {
        match namespace.tcp_listen(address) {
            Err(netns::Error::Socket { source, .. })
                if source.kind() == ErrorKind::AddrInUse && Instant::now() < given_up =>
            {
                sleep(AGAIN).await;
            }
            listening => return listening.map_err(|error| chain(&error)),
        }
    }
}
