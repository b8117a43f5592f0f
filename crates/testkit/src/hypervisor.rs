//! A hypervisor that runs no machine: a program that passes for QEMU, and for a guest a task of the test.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::protocol::GUEST;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sys::link;
use sys::netns::{DIRECTORY, NetNs};
use sys::process::ProcessId;
use tempfile::TempDir;
use tokio::sync::oneshot;
use vmm::kernel::Kernel;
use vmm::qemu::Qemu;
use vmm::{
    BootFuture, Dormant, DormantConfig, Hypervisor, MachineConfig, PrepareFuture, RestoreConfig,
};

use crate::guest::{Guest, Script};

/// How long a dead guest's connections stay open: nobody tells their other ends, as with a real machine.
const SILENCE: Duration = Duration::from_millis(300);

/// The program that passes for QEMU. It is not written by the tests that run it: a program that some thread has open for
/// writing while another forks cannot be executed.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/fake-qemu");

/// Starts fake guests that follow a script.
///
/// A script that returns powers its guest off. One that fails does so too, after printing why to the guest's console.
#[derive(Clone)]
pub struct FakeHypervisor {
    qemu: Qemu,
    script: Script,
    reachable: bool,
    version: u32,
    kernel: String,
    folder: Arc<TempDir>,
}

impl FakeHypervisor {
    /// A hypervisor whose guests follow `script`.
    pub fn new<F>(script: impl Fn(Guest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self::named("runs", Arc::new(move |guest| Box::pin(script(guest))))
    }

    /// A hypervisor that does not start, and says `why`.
    pub fn failing(why: &str) -> Self {
        let fake = Self::named("fails", unused());
        fs::write(fake.folder.path().join("why"), why).expect("a file");
        fake
    }

    /// A hypervisor that neither starts nor fails.
    pub fn hanging() -> Self {
        Self::named("hangs", unused())
    }

    /// The same, with guests that answer no packet: not even to refuse it.
    #[must_use]
    pub fn unreachable(mut self) -> Self {
        self.reachable = false;
        self
    }

    /// The same in another version, of which snapshots are not compatible.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// The same with another kernel, which has this digest.
    #[must_use]
    pub fn with_kernel(mut self, digest: &str) -> Self {
        digest.clone_into(&mut self.kernel);
        self
    }

    /// A kernel that its guests can be given. Its files are empty.
    pub fn kernel(&self) -> Kernel {
        Kernel {
            release: "none".into(),
            vmlinux: self.empty_file(),
            initramfs: self.empty_file(),
            digest: self.kernel.clone(),
        }
    }

    /// A root that its guests can be given. Nothing is in it.
    pub fn root(&self) -> PathBuf {
        self.empty_file()
    }

    fn empty_file(&self) -> PathBuf {
        self.folder.path().join("empty")
    }

    fn named(does: &str, script: Script) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("empty"), "").expect("an empty file");
        let binary = folder.path().join(format!("qemu-that-{does}"));
        symlink(PROGRAM, &binary).expect("a symbolic link");
        Self {
            qemu: Qemu::find(Some(&binary)).expect("a program that passes for QEMU"),
            script,
            reachable: true,
            version: 1,
            kernel: "sha256:none".to_owned(),
            folder: Arc::new(folder),
        }
    }

    /// Lets a guest live beside its hypervisor's process.
    fn populate(&self, folder: &Path, process: ProcessId, restored: bool) -> anyhow::Result<()> {
        let namespace = namespace(folder)?;
        if self.reachable {
            // One of the namespace's own addresses, so what is sent to the guest never gets to the tap.
            namespace.enter(|| link::add_address("lo", GUEST, Ipv4Addr::BITS as u8))??;
        }
        let end = end_of(process)?;
        let guest = Guest {
            namespace: Arc::new(namespace),
            folder: folder.to_owned(),
            process,
            restored,
        };
        tokio::spawn(live(self.script.clone(), guest, end));
        Ok(())
    }
}

impl Hypervisor for FakeHypervisor {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn identity(&self) -> String {
        format!("fake {}", self.version)
    }

    fn boot(&self, config: MachineConfig) -> BootFuture<'_> {
        Box::pin(async move {
            let folder = config.run_dir.clone();
            let machine = self.qemu.boot(config).await?;
            self.populate(&folder, machine.process(), false)
                .expect("a guest in the instance's namespace");
            Ok(machine)
        })
    }

    fn prepare(&self, config: DormantConfig) -> PrepareFuture<'_> {
        self.qemu.prepare(config)
    }

    fn restore(&self, dormant: Dormant, config: RestoreConfig) -> BootFuture<'_> {
        Box::pin(async move {
            let folder = dormant.run_dir().to_owned();
            let machine = self.qemu.restore(dormant, config).await?;
            self.populate(&folder, machine.process(), true)
                .expect("a guest in the instance's namespace");
            Ok(machine)
        })
    }
}

/// The script of a guest that is never started.
fn unused() -> Script {
    Arc::new(|_| Box::pin(async { Ok(()) }))
}

/// The namespace that the instance's record names.
fn namespace(folder: &Path) -> anyhow::Result<NetNs> {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("instance.json"))?)?;
    let name = record["namespace"]
        .as_str()
        .context("the record names no namespace")?;
    Ok(NetNs::open(&Path::new(DIRECTORY).join(name))?)
}

/// Tells when a process has ended.
fn end_of(process: ProcessId) -> anyhow::Result<oneshot::Receiver<()>> {
    let pid = Pid::from_raw(process.pid as i32).context("no pid")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        // Interrupted by a signal, it waits on.
        while poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).is_err() {}
        let _ = ended.send(());
    });
    Ok(end)
}

/// Runs the guest until its script or its process ends.
async fn live(script: Script, guest: Guest, end: oneshot::Receiver<()>) {
    let mut script = script(guest.clone());
    tokio::select! {
        result = &mut script => {
            if let Err(error) = result {
                let why = format!("the guest's script failed: {error:#}\n");
                // A console that is gone is nothing to write to.
                let _ = guest.print_to_console(&why).await;
            }
            guest.power_off().await;
        }
        _ = end => tokio::time::sleep(SILENCE).await,
    }
}
