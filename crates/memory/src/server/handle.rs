//! What the owner of a server holds.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::EventfdFlags;
use tokio::sync::watch;

use super::error::{ServerError, StartError};
use super::progress::{Installed, Outcome, Peer, Progress};
use super::run::run;
use super::stats::{FaultCounters, Stats};
use crate::installer::Installer;
use crate::memory_file::MemoryFile;
use crate::page_set::PageSet;
use crate::policy::Policy;

/// How a guest is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long the hypervisor has, once connected, to send its handshake.
    pub handshake_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handshake_patience: Duration::from_secs(5),
        }
    }
}

/// What the server's threads and its owner share.
pub(super) struct Shared {
    pub(super) memory: Arc<MemoryFile>,
    pub(super) policy: Box<dyn Policy>,
    pub(super) options: Options,
    /// Readable once there is something for the threads to see: a stop, or a failure of the other.
    pub(super) control: OwnedFd,
    pub(super) stop: AtomicBool,
    pub(super) bulk_failure: OnceLock<Arc<ServerError>>,
    /// From the handshake on. It holds the userfaultfd, which must stay open as long as the guest can run.
    pub(super) installer: OnceLock<Arc<Installer>>,
    pub(super) faulted: Mutex<PageSet>,
    pub(super) counters: FaultCounters,
    pub(super) progress: watch::Sender<Progress>,
}

impl Shared {
    pub(super) fn wake(&self) {
        // It can only fail if the counter is full, and then it is readable anyhow.
        let _ = rustix::io::write(&self.control, &1u64.to_ne_bytes());
    }
}

/// A guest being served, on threads of its own.
///
/// Drop it only when the hypervisor has ended. Dropping stops the server and closes its userfaultfd; a guest that still
/// runs then waits for ever, or, if its hypervisor has closed its own descriptor, finds zeros.
pub struct Server {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the first hypervisor that connects to `listener`, which is closed then.
    pub fn start(
        listener: UnixListener,
        memory: Arc<MemoryFile>,
        policy: Box<dyn Policy>,
        options: Options,
    ) -> Result<Self, StartError> {
        let control = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| StartError::Control(errno.into()))?;
        listener
            .set_nonblocking(true)
            .map_err(StartError::Listener)?;
        let name = policy.name();
        let shared = Arc::new(Shared {
            memory,
            policy,
            options,
            control,
            stop: AtomicBool::new(false),
            bulk_failure: OnceLock::new(),
            installer: OnceLock::new(),
            faulted: Mutex::default(),
            counters: FaultCounters::default(),
            progress: watch::Sender::new(Progress::default()),
        });
        let thread = thread::Builder::new()
            .name(format!("pages-{name}"))
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(&shared, listener)
            })
            .map_err(StartError::Thread)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The name of its policy.
    pub fn policy(&self) -> &'static str {
        self.shared.policy.name()
    }

    /// Waits for the end of the handshake, or of everything.
    pub async fn connected(&self) -> Result<Peer, Outcome> {
        self.first(|progress| progress.peer.clone()).await
    }

    /// Waits for the end of bulk installation, or of everything. A policy that installs nothing is done at once.
    pub async fn installed(&self) -> Result<Installed, Outcome> {
        self.first(|progress| progress.installed.clone()).await
    }

    /// Waits for the end of serving.
    pub async fn wait(&self) -> Outcome {
        match self.first(|_| None::<()>).await {
            Ok(()) => Outcome::Stopped,
            Err(outcome) => outcome,
        }
    }

    /// Waits, on this thread, until serving has ended.
    pub fn join(mut self) -> Outcome {
        if let Some(thread) = self.thread.take() {
            // A panic has been reported as the outcome.
            let _ = thread.join();
        }
        let progress = self.shared.progress.borrow();
        progress.outcome.clone().unwrap_or(Outcome::Stopped)
    }

    /// Ends serving. The hypervisor must have ended, or be killed now.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(installer) = self.shared.installer.get() {
            installer.end();
        }
        self.shared.wake();
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        self.shared
            .counters
            .stats(self.shared.installer.get().map(|installer| &**installer))
    }

    /// The pages that were faulted so far: with [`crate::Lazy`], all that the guest used. Empty before the handshake.
    pub fn faulted(&self) -> PageSet {
        self.shared
            .faulted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn first<T>(&self, found: impl Fn(&Progress) -> Option<T>) -> Result<T, Outcome> {
        let mut receiver = self.shared.progress.subscribe();
        loop {
            {
                let progress = receiver.borrow_and_update();
                if let Some(found) = found(&progress) {
                    return Ok(found);
                }
                if let Some(outcome) = &progress.outcome {
                    return Err(outcome.clone());
                }
            }
            // The sender lives as long as `self`.
            if receiver.changed().await.is_err() {
                return Err(Outcome::Stopped);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("policy", &self.policy())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
