//! What machines are made of, and what snapshots of them are.

use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use crate::kernel::Kernel;

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

/// What is known of a machine before it is known which snapshot it will be. The fields are those of
/// [`MachineConfig`], and must have the values with which the snapshot's machine was booted.
#[derive(Debug)]
pub struct DormantConfig {
    /// Name, for logs and process lists.
    pub name: String,
    /// A folder for this machine alone, which exists. The guest's console is written to `console.log` in it.
    pub run_dir: PathBuf,
    /// Number of processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The tap of the machine's NIC.
    pub tap: OwnedFd,
    /// How guest code is executed.
    pub accel: Accel,
    /// User and group the hypervisor runs as.
    pub uid_gid: Option<(u32, u32)>,
}

/// What a dormant machine becomes.
#[derive(Debug)]
pub struct RestoreConfig {
    /// The root image of the machine that was saved.
    pub root: PathBuf,
    /// Its state, as [`SaveTarget::state`] received it, read from its beginning.
    pub state: File,
    /// Where its memory comes from.
    pub memory: Backing,
    /// The state is loaded only after this, if it is given. To load it touches memory.
    pub before_load: Option<Gate>,
    /// The guest runs on only after this, if it is given: when all that it is to find has been installed, say. Why it came to
    /// nothing is told to the user.
    pub before_resume: Option<Gate>,
}

/// What a restore waits for before it goes on.
pub struct Gate(pub Pin<Box<dyn Future<Output = Result<(), String>> + Send>>);

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// Where the memory of a restored machine comes from.
#[derive(Debug)]
pub enum Backing {
    /// From the memory file, page by page as the guest touches it. The file is never written: any number of machines
    /// share it, and what each of them writes is its own.
    File(File),
    /// From a page server that listens at this socket, and speaks Firecracker's userfaultfd handshake. The hypervisor
    /// connects to it, as the user it runs as: the socket must be writable by that user, the way to it need not be open.
    ///
    /// Without its page server a guest waits for ever, and a restore until its deadline. Who owns the page server watches
    /// it: when it fails, drop the restore or [`crate::Machine::kill`] the machine.
    Uffd(PathBuf),
}

/// Where a snapshot is written to.
#[derive(Debug)]
pub struct SaveTarget {
    /// Takes the state of processors and devices: some tens of KiB.
    pub state: File,
    /// An empty file, which takes the guest's memory. It gets holes where the memory is zero.
    pub memory: File,
}

/// A snapshot that was written.
#[derive(Debug)]
pub struct Saved {
    /// Bytes of state.
    pub state_bytes: u64,
    /// Bytes of memory that are not zero.
    pub memory_bytes: u64,
    /// What it took, in order: `pause` until the guest stood still, `state`, `memory`.
    pub phases: Vec<(&'static str, Duration)>,
}
