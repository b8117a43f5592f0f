//! The function's control group (Documentation/admin-guide/cgroup-v2.rst).
//!
//! ```text
//! /            PID 1
//! └─ function  the function, what it starts, and commands beside it: memory.max, cpu.max, cpu.weight
//! ```
//!
//! The function sees its own group as the root of all, read-only: its limits are where programs look for them. The launcher makes the
//! group and is the first in it; PID 1 puts others there, by a mount that is in no folder.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use agent::protocol::Limits;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Pid;

const ROOT: &str = "/sys/fs/cgroup";
const GROUP: &str = "function";

/// Where PID 1 mounts the tree for a moment.
const STAGE: &str = "/.cgroup";

/// What is limited, where the kernel knows how to.
const CONTROLLERS: [&str; 2] = ["memory", "cpu"];

/// Microseconds over which a CPU limit holds: the kernel's own default, and Kubernetes'.
const PERIOD_US: u64 = 100_000;

/// Limits of memory are whole pages.
const PAGE: u64 = 4096;

const FLAGS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NOEXEC)
    .union(MsFlags::MS_NODEV);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("control groups cannot be mounted on {path:?}")]
    Mount { path: PathBuf, source: Errno },
    #[error("cannot make {path:?}")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot open {path:?}")]
    Open { path: PathBuf, source: io::Error },
    #[error("process {pid} cannot be put into its control group")]
    Join { pid: i32, source: io::Error },
    #[error("the other control groups cannot be hidden")]
    Hide(#[source] Errno),
    #[error("{name} cannot be set to {value:?}")]
    Limit {
        name: &'static str,
        value: String,
        source: io::Error,
    },
}

/// Whether the kernel waits for a grace period of its read-copy-update by asking all processors at once, rather than by waiting for their
/// ticks (Documentation/RCU/checklist.rst). Putting a process into a group waits for one. An emulated guest on a busy host may have
/// no ticks for a long time, and with one processor there is nobody to disturb.
const EXPEDITED: &str = "/sys/kernel/rcu_expedited";

/// Makes the function's group, and puts this process into it.
pub(crate) fn enter() -> Result<(), Error> {
    // Without, it is only slower.
    let _ = fs::write(EXPEDITED, "1");
    let root = Path::new(ROOT);
    attach(root)?;
    let group = root.join(GROUP);
    for controller in CONTROLLERS {
        // A kernel without it limits nothing.
        let _ = fs::write(
            root.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
    fs::create_dir(&group).map_err(|source| Error::Make {
        path: group.clone(),
        source,
    })?;
    join(&group, 0)?;
    umount2(root, MntFlags::MNT_DETACH).map_err(mounting(root))?;
    see_only_own()?;
    attach(root)
}

/// Makes the group that this process is in the root of all that it sees.
pub(crate) fn see_only_own() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWCGROUP).map_err(Error::Hide)
}

/// Sets the limits of the group that this process is in, after which nobody writes there any more.
pub(crate) fn limit(limits: &Limits) -> Result<(), Error> {
    for (name, value) in settings(limits) {
        match fs::write(Path::new(ROOT).join(name), &value) {
            // The kernel does not know the controller.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // What cannot be made by writing is not there either, in a file system of the kernel's.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            written => written.map_err(|source| Error::Limit {
                name,
                value,
                source,
            })?,
        }
    }
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | FLAGS;
    mount(None::<&str>, ROOT, None::<&str>, flags, None::<&str>).map_err(mounting(Path::new(ROOT)))
}

/// The files of a group, with what is written there. What is not limited is left as it is.
fn settings(limits: &Limits) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if limits.memory_bytes != 0 {
        let bytes = limits.memory_bytes / PAGE * PAGE;
        settings.push(("memory.max", bytes.to_string()));
    }
    if limits.cpu_milli != 0 {
        // The least that the kernel takes is a millisecond.
        let quota = limits.cpu_milli.saturating_mul(PERIOD_US / 1000).max(1000);
        settings.push(("cpu.max", format!("{quota} {PERIOD_US}")));
    }
    if limits.cpu_request_milli != 0 {
        settings.push(("cpu.weight", weight(limits.cpu_request_milli).to_string()));
    }
    settings
}

/// The weight of so many thousandths of a CPU: Kubernetes' shares of it, 2 to 262144, on the scale of 1 to 10000
/// (<https://kep.k8s.io/2254>, "Phase 1: Convert from cgroups v1 settings to v2").
fn weight(milli: u64) -> u64 {
    let shares = (milli.saturating_mul(1024) / 1000).clamp(2, 262_144);
    1 + (shares - 2) * 9999 / 262_142
}

/// The function's group, as PID 1 holds it.
pub(crate) struct Group(File);

impl Group {
    /// Finds the group. What is mounted for that is gone again when this returns.
    pub(crate) fn open() -> Result<Group, Error> {
        let stage = Path::new(STAGE);
        crate::files::folder(stage).map_err(|source| Error::Make {
            path: stage.into(),
            source,
        })?;
        attach(stage)?;
        let path = stage.join(GROUP);
        let opened = File::open(&path);
        umount2(stage, MntFlags::MNT_DETACH).map_err(mounting(stage))?;
        // An empty folder that stays would be in nobody's way.
        let _ = fs::remove_dir(stage);
        opened
            .map(Group)
            .map_err(|source| Error::Open { path, source })
    }

    /// Puts a process into it.
    pub(crate) fn join(&self, pid: Pid) -> Result<(), Error> {
        let folder = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        join(Path::new(&folder), pid.as_raw())
    }
}

/// Puts a process, 0 for this one, into the group in a folder.
fn join(group: &Path, pid: i32) -> Result<(), Error> {
    fs::write(group.join("cgroup.procs"), pid.to_string())
        .map_err(|source| Error::Join { pid, source })
}

fn attach(path: &Path) -> Result<(), Error> {
    mount(Some("cgroup2"), path, Some("cgroup2"), FLAGS, None::<&str>).map_err(mounting(path))
}

fn mounting(path: &Path) -> impl Fn(Errno) -> Error {
    move |source| Error::Mount {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_limited_is_left_as_it_is() {
        assert_eq!(settings(&Limits::default()), []);
    }

    #[test]
    fn limits_are_written_as_kubernetes_writes_them() {
        let limits = Limits {
            memory_bytes: (128 << 20) + 1,
            cpu_milli: 1500,
            cpu_request_milli: 125,
        };
        let text = |value: &str| value.to_owned();
        assert_eq!(
            settings(&limits),
            [
                ("memory.max", text("134217728")),
                ("cpu.max", text("150000 100000")),
                ("cpu.weight", text("5")),
            ]
        );
    }

    #[test]
    fn a_sliver_of_a_cpu_is_the_least_that_the_kernel_takes() {
        let limits = Limits {
            cpu_milli: 1,
            ..Limits::default()
        };
        assert_eq!(settings(&limits), [("cpu.max", "1000 100000".to_owned())]);
    }

    #[test]
    fn weights_stay_on_their_scale() {
        assert_eq!(
            [1, 1000, 256_000, u64::MAX].map(weight),
            [1, 39, 10_000, 10_000]
        );
    }
}
