//! How the memory of a restored guest arrives, and what is learnt from it for the next.
//!
//! ```text
//!                    no working set yet        cache warm              cache cold
//!   Auto, Reap ────► page by page, recorded
//!   Auto ────────────────────────────────────► private mapping ──────► working set in bulk
//!   Reap ────────────────────────────────────► working set in bulk
//!   File, Lazy ────► as they say
//! ```
//!
//! A recording is written down when the first request has been answered ([`crate::Handle::served`]). A working set that guests miss
//! too much of is removed, and so recorded again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use memory::working_set;
use memory::{
    Choice, Costs, Lazy, Options, Paper, Policy, Prefetch, Reap, Residency, Resident, Server,
};
use tracing::{debug, info, warn};
use vmm::{Backing, Gate};

use crate::chain;
use crate::config::Memory;
use crate::snapshots::Snapshot;

/// Where the page server listens, in the instance's folder.
const SOCKET: &str = "pages.sock";
/// Threads that install a working set.
const INSTALLERS: usize = 2;

/// What a hypervisor is given, and what stands behind it.
pub(crate) struct Arrival {
    pub(crate) backing: Backing,
    pub(crate) served: Option<Served>,
}

/// A guest whose memory is being served.
#[derive(Debug)]
pub(crate) struct Served {
    server: Arc<Server>,
    snapshot: Arc<Snapshot>,
    /// What it faults is to become the working set.
    recording: bool,
    /// What must not begin before all is installed.
    installed_before: Option<Before>,
}

/// A step of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// The state is loaded.
    Load,
    /// The guest runs on.
    Resume,
}

/// Arranges it for a hypervisor that waits, whose instance has this folder. Blocks for a moment.
pub(crate) fn arrange(
    snapshot: &Arc<Snapshot>,
    memory: Memory,
    folder: &Path,
) -> Result<Arrival, String> {
    let way = way(snapshot, memory)?;
    let (policy, recording): (Box<dyn Policy>, bool) = match way {
        Way::Mapped { read_ahead } => {
            if read_ahead {
                start_reading(snapshot);
            }
            let file = File::open(snapshot.memory())
                .map_err(|error| format!("cannot open its memory: {error}"))?;
            return Ok(Arrival {
                backing: Backing::File(file),
                served: None,
            });
        }
        Way::Served { policy, recording } => (policy, recording),
    };
    let installed_before = match memory {
        Memory::Resident => Some(Before::Load),
        Memory::Paper => Some(Before::Resume),
        _ => None,
    };
    debug!(policy = policy.name(), recording, "memory is served");
    let socket = folder.join(SOCKET);
    let listener = listen(&socket)
        .map_err(|error| format!("cannot listen at {}: {error}", socket.display()))?;
    let server = Server::start(
        listener,
        snapshot.memory_file()?,
        policy,
        Options::default(),
    )
    .map_err(|error| chain(&error))?;
    Ok(Arrival {
        backing: Backing::Uffd(socket),
        served: Some(Served {
            server: Arc::new(server),
            snapshot: snapshot.clone(),
            recording,
            installed_before,
        }),
    })
}

/// A socket that the hypervisor may write to, whichever user it is. The way to it is open to nobody: it is handed the socket.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// The way that memory takes.
enum Way {
    Mapped {
        read_ahead: bool,
    },
    Served {
        policy: Box<dyn Policy>,
        recording: bool,
    },
}

fn way(snapshot: &Arc<Snapshot>, memory: Memory) -> Result<Way, String> {
    let page_by_page = |recording| {
        Ok(Way::Served {
            policy: Box::new(Lazy),
            recording,
        })
    };
    match memory {
        Memory::File => return Ok(Way::Mapped { read_ahead: false }),
        Memory::Lazy => return page_by_page(false),
        Memory::Resident => {
            return Ok(Way::Served {
                policy: Box::new(Resident),
                recording: false,
            });
        }
        Memory::Auto | Memory::Reap | Memory::Paper => {}
    }
    let Some(header) = snapshot.working_set_header() else {
        // Two clones at once need not both be slow for it.
        return match snapshot.begin_recording() {
            false if memory == Memory::Auto => Ok(Way::Mapped { read_ahead: false }),
            recording => page_by_page(recording),
        };
    };
    if memory == Memory::Auto {
        let file = snapshot.memory_file()?;
        let residency = Residency::measure(&file, &header, &snapshot.working_set())
            .map_err(|error| chain(&error))?;
        match memory::choose(Some(&residency), &Costs::default()) {
            Choice::PrivateMapping { read_ahead } => return Ok(Way::Mapped { read_ahead }),
            Choice::Bulk | Choice::Record => {}
        }
    }
    match in_bulk(snapshot, memory) {
        Ok(policy) => Ok(Way::Served {
            policy,
            recording: false,
        }),
        Err(error) => {
            warn!(error, path = %snapshot.working_set().display(), "a working set cannot be used, and is recorded again");
            snapshot.forget_working_set();
            page_by_page(snapshot.begin_recording())
        }
    }
}

fn in_bulk(snapshot: &Snapshot, memory: Memory) -> Result<Box<dyn Policy>, String> {
    let (path, binding) = (snapshot.working_set(), snapshot.binding());
    if memory == Memory::Paper {
        let paper = Paper::open(&path, &binding).map_err(|error| chain(&error))?;
        return Ok(Box::new(paper));
    }
    let prefetch = Prefetch::start(&path, &binding).map_err(|error| chain(&error))?;
    Ok(Box::new(Reap::new(prefetch, INSTALLERS)))
}

/// What is missing in the page cache begins to come.
fn start_reading(snapshot: &Snapshot) {
    let (Ok(file), Some(header)) = (snapshot.memory_file(), snapshot.working_set_header()) else {
        return;
    };
    if let Err(error) = memory::read_ahead(&file, &header) {
        let error = chain(&error);
        debug!(error, "cannot read ahead");
    }
}

impl Served {
    /// What has to be waited for before this step.
    pub(crate) fn gate(&self, step: Before) -> Option<Gate> {
        let server = (self.installed_before == Some(step)).then(|| self.server.clone())?;
        Some(Gate(Box::pin(async move {
            match server.installed().await {
                Ok(memory::Installed { error: None, .. }) => Ok(()),
                Ok(memory::Installed {
                    error: Some(error), ..
                }) => Err(chain(&*error)),
                Err(outcome) => Err(format!("memory was not installed: {outcome:?}")),
            }
        })))
    }

    /// The first request was answered: what was faulted until now is the working set, if it is being recorded.
    pub(crate) fn finish_recording(&mut self) {
        if !std::mem::take(&mut self.recording) {
            return;
        }
        let (server, snapshot) = (self.server.clone(), self.snapshot.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write_down(&server, &snapshot) {
                warn!(error, "cannot write a working set");
            }
            snapshot.end_recording();
        });
    }

    /// Waits until the guest can no longer be served, and returns why.
    async fn lost(&self) -> String {
        match self.server.wait().await {
            memory::Outcome::Failed(error) => chain(&*error),
            // The hypervisor's end is heard of elsewhere.
            memory::Outcome::PeerEnded | memory::Outcome::Stopped => std::future::pending().await,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.recording {
            self.snapshot.end_recording();
        }
        let stats = self.server.stats();
        info!(
            snapshot = self.snapshot.manifest().id,
            policy = self.server.policy(),
            ?stats,
            "served"
        );
        self.snapshot.served(&stats);
    }
}

fn write_down(server: &Server, snapshot: &Snapshot) -> Result<(), String> {
    let file = snapshot.memory_file()?;
    let pages = server.faulted();
    let stored = working_set::write(&snapshot.working_set(), &snapshot.binding(), &pages, &file)
        .map_err(|error| chain(&error))?;
    snapshot.recorded();
    info!(
        snapshot = snapshot.manifest().id,
        ?stored,
        "recorded a working set"
    );
    Ok(())
}

/// Waits until the memory of a served guest is lost; for ever, if it is not served.
pub(crate) async fn lost(served: Option<&Served>) -> String {
    match served {
        Some(served) => served.lost().await,
        None => std::future::pending().await,
    }
}
