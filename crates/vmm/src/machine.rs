//! A microVM, whichever hypervisor runs it.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitStatus;
use std::time::Duration;

use sys::process::ProcessId;
use tokio::process::Child;

use crate::kernel::Kernel;
use crate::qemu;
use crate::qmp::{self, Qmp};
use crate::tail::Tail;

/// How long QEMU may take to answer a command that does not move memory.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);

/// The variable in a hypervisor's environment that names its instance's folder: [`MachineConfig::run_dir`].
pub const OWNER_VARIABLE: &str = "VHIVE_INSTANCE";

/// How guest code is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// By the processor, through `/dev/kvm`.
    Kvm,
    /// By emulation, on every host.
    Tcg,
}

/// What a machine is made of.
#[derive(Debug)]
pub struct MachineConfig {
    /// Name, for logs and process lists.
    pub name: String,
    /// The instance's own folder, which exists. The guest's console is written to `console.log` in it.
    pub run_dir: PathBuf,
    /// The guest's kernel, with its initramfs.
    pub kernel: Kernel,
    /// Number of processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The image's root: a squashfs file, which any number of machines share.
    pub root: PathBuf,
    /// The tap of the machine's NIC, opened as [`sys::tap`] does.
    pub tap: OwnedFd,
    /// How guest code is executed.
    pub accel: Accel,
    /// User and group the hypervisor runs as. The kernel's files must be readable by it, and with
    /// [`Accel::Kvm`] `/dev/kvm` writable; everything else is handed over open.
    pub uid_gid: Option<(u32, u32)>,
    /// Appended to the kernel's command line.
    pub extra_cmdline: String,
}

/// A machine could not be made or spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU could not be started.
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

/// What [`Hypervisor::boot`] returns.
pub type BootFuture<'a> = Pin<Box<dyn Future<Output = Result<Machine, Error>> + Send + 'a>>;

/// A program that runs machines.
pub trait Hypervisor: Send + Sync {
    /// Its name: `qemu`.
    fn name(&self) -> &'static str;

    /// Makes a machine and lets it run. Returns when the hypervisor answers; the guest boots meanwhile.
    fn boot(&self, config: MachineConfig) -> BootFuture<'_>;
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
    pub(crate) qmp: Qmp,
    pub(crate) stderr: Tail,
    pub(crate) console: Tail,
    pub(crate) phases: Vec<(&'static str, Duration)>,
    pub(crate) reason: Option<String>,
}

impl Machine {
    /// The hypervisor's process.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// What making it took, in order: `hypervisor` is from spawning it to its first answer.
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
        self.child
            .start_kill()
            .map_err(|source| self.cannot_end(source))?;
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

    async fn command(&mut self, command: &'static str) -> Result<(), Error> {
        let result = self.qmp.execute(command, None, COMMAND_DEADLINE).await;
        result.map(drop).map_err(|source| Error::Control {
            name: self.name.clone(),
            source,
        })
    }

    fn cannot_end(&self, source: std::io::Error) -> Error {
        Error::Kill {
            name: self.name.clone(),
            source,
        }
    }
}
