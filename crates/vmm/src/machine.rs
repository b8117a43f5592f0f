//! A microVM, whichever hypervisor runs it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use sys::process::ProcessId;
use tokio::net::UnixStream;
use tokio::process::Child;

use crate::config::{SaveTarget, Saved};
use crate::memory_file::Source;
use crate::qemu;
use crate::qmp::{self, Qmp};
use crate::tail::Tail;

/// How long QEMU may take to answer a command that does not move memory.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);

/// The variable in a hypervisor's environment that names its instance's folder:
/// [`crate::MachineConfig::run_dir`].
pub const OWNER_VARIABLE: &str = "VHIVE_INSTANCE";

/// A machine could not be made or spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU could not be started, restored or saved.
    #[error(transparent)]
    Qemu(#[from] qemu::Error),
    /// A running QEMU did not do as it was told.
    #[error("machine {name:?}")]
    Control {
        /// The machine's name.
        name: String,
        /// What QEMU said.
        source: qmp::Error,
    },
    /// The hypervisor's process could not be ended.
    #[error("the hypervisor of machine {name:?} cannot be ended")]
    Kill {
        /// The machine's name.
        name: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// How a machine ended.
#[derive(Debug)]
pub struct ExitInfo {
    /// The hypervisor's exit status. Success if the guest ended the machine.
    pub status: ExitStatus,
    /// Why the hypervisor shut the machine down, in its words: `guest-reset` when the guest ended it, as the
    /// agent does. `None` if it had no time to say: it was killed, or it crashed.
    pub reason: Option<String>,
    /// The last of what the hypervisor wrote to its standard error.
    pub stderr_tail: String,
    /// The last of what the guest wrote to its console.
    pub console_tail: String,
}

/// A running machine. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    pub(crate) name: String,
    pub(crate) process: ProcessId,
    pub(crate) child: Child,
    /// In a box, as a machine is moved about a good deal.
    pub(crate) qmp: Box<Qmp>,
    pub(crate) stderr: Tail,
    pub(crate) console: Tail,
    pub(crate) phases: Vec<(&'static str, Duration)>,
    pub(crate) reason: Option<String>,
    /// Where the guest's memory can be read.
    pub(crate) memory: Arc<Source>,
}

impl Machine {
    /// The hypervisor's process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// What making it took, in order. Of a booted machine: `hypervisor`, from spawning it to its first answer. Of a
    /// restored one: `bind`, until memory and root were its own, `load`, until it had its state, `resume`.
    pub fn phases(&self) -> &[(&'static str, Duration)] {
        &self.phases
    }

    /// The last of what the guest wrote to its console until now.
    pub fn console_tail(&self) -> String {
        self.console.text()
    }

    /// Waits until the machine has ended. May be cancelled and called again.
    pub async fn wait(&mut self) -> Result<ExitInfo, Error> {
        let status = self
            .child
            .wait()
            .await
            .map_err(|source| self.cannot_end(source))?;
        self.stderr.ended().await;
        self.console.ended().await;
        // The socket outlives the process until what is in it is read.
        while let Ok(event) = self.qmp.next_event().await {
            if event.name == "SHUTDOWN" {
                self.reason = event.data["reason"].as_str().map(str::to_owned);
            }
        }
        Ok(ExitInfo {
            status,
            reason: self.reason.clone(),
            stderr_tail: self.stderr.text(),
            console_tail: self.console.text(),
        })
    }

    /// Ends the machine at once, without asking the guest. Fine if it has ended already.
    pub async fn kill(&mut self) -> Result<ExitInfo, Error> {
        self.start_kill()?;
        self.wait().await
    }

    /// Stops the guest's processors.
    pub async fn pause(&mut self) -> Result<(), Error> {
        self.command("stop").await
    }

    /// Lets the guest's processors run on.
    pub async fn resume(&mut self) -> Result<(), Error> {
        self.command("cont").await
    }

    /// Writes a snapshot. The guest is stopped for it and stays so: [`Machine::resume`] lets it run on, whether this
    /// succeeded or not.
    ///
    /// The agent should have been told before: [`crate::agent::Commands::quiesce`].
    pub async fn save(&mut self, target: SaveTarget) -> Result<Saved, Error> {
        Ok(qemu::save(self, target).await?)
    }

    async fn command(&mut self, command: &'static str) -> Result<(), Error> {
        let result = self.qmp.execute(command, None, COMMAND_DEADLINE).await;
        result.map(drop).map_err(|source| Error::Control {
            name: self.name.clone(),
            source,
        })
    }

    fn start_kill(&mut self) -> Result<(), Error> {
        self.child
            .start_kill()
            .map_err(|source| self.cannot_end(source))
    }

    fn cannot_end(&self, source: std::io::Error) -> Error {
        Error::Kill {
            name: self.name.clone(),
            source,
        }
    }
}

/// A hypervisor that waits for a snapshot. Dropping it kills it.
#[derive(Debug)]
pub struct Dormant {
    pub(crate) machine: Machine,
    pub(crate) run_dir: PathBuf,
    /// Where to say how memory arrives.
    pub(crate) control: UnixStream,
}

impl Dormant {
    /// The hypervisor's process.
    pub fn process(&self) -> ProcessId {
        self.machine.process
    }

    /// The machine's own folder.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// What making it took, in order: `hypervisor` is from spawning it to its being ready.
    pub fn phases(&self) -> &[(&'static str, Duration)] {
        &self.machine.phases
    }

    /// Waits until the hypervisor has ended, which it does not do by itself. May be cancelled and called again.
    pub async fn wait(&mut self) -> Result<ExitInfo, Error> {
        self.machine.wait().await
    }

    /// Ends the hypervisor, and waits until it has ended.
    pub async fn kill(&mut self) -> Result<ExitInfo, Error> {
        self.machine.kill().await
    }
}
