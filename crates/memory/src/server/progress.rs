//! How far a server is.

use std::sync::Arc;
use std::time::Duration;

use super::error::ServerError;
use crate::installer::InstallError;
use crate::layout::Layout;

/// The hypervisor that is served.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its pid, in the caller's namespace.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Where it has the guest's memory.
    pub layout: Layout,
}

/// How bulk installation ended.
#[derive(Debug, Clone)]
pub struct Installed {
    /// From the handshake to the end.
    pub took: Duration,
    /// Why not everything was installed; the rest is left to faults.
    pub error: Option<Arc<InstallError>>,
}

/// How serving ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The hypervisor ended.
    PeerEnded,
    /// The owner stopped the server.
    Stopped,
    /// The server failed and the guest hangs: kill the hypervisor.
    Failed(Arc<ServerError>),
}

impl Outcome {
    pub(super) fn failed(error: impl Into<ServerError>) -> Self {
        Self::Failed(Arc::new(error.into()))
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) peer: Option<Peer>,
    pub(super) installed: Option<Installed>,
    pub(super) outcome: Option<Outcome>,
}
