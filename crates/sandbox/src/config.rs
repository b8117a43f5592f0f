//! What a sandbox is set up with, and what one instance of it is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use vmm::Accel;
use vmm::agent::protocol::{Contents, GuestFile, Process, Volume};

use crate::users::Users;

/// The set-up of a node's sandbox.
#[derive(Clone, Debug)]
pub struct Config {
    /// Holds one folder per instance. One process at a time may use it, and everything in it can be removed
    /// at the next start.
    pub run_dir: PathBuf,
    /// Names this node's network namespaces, `vhive-<node_id>-<number>`, so it must be this node's alone on the
    /// machine: see [`Config::node_id_for`]. Letters, digits and dashes.
    pub node_id: String,
    /// How many networks wait made for the next instances; 0 makes each when it is needed.
    pub net_pool_size: usize,
    /// How many hypervisors wait for each shape of machine that snapshots were taken of; 0 starts each when it is needed.
    pub spare_hypervisors: usize,
    /// What all snapshots together may take on disk, in bytes.
    pub snapshot_space: u64,
    /// Holds the snapshots; see [`crate::snapshots`].
    pub snapshot_dir: PathBuf,
    /// What runs the guest's instructions.
    pub accel: Accel,
    /// The size at which an instance's log is set aside; one old file is kept, so a log takes twice this.
    pub log_max_bytes: u64,
    /// From the start of an instance until its function's program runs.
    pub boot_deadline: Duration,
    /// Whom hypervisors run as, instead of root.
    pub hypervisor_users: Option<Users>,
}

impl Config {
    /// User and group of the hypervisor in the network of that number.
    pub(crate) fn user_of(&self, network: u64) -> Option<(u32, u32)> {
        self.hypervisor_users
            .map(|users| users.of(&self.node_id, network))
    }

    /// A short node id that follows from the run directory, so that two nodes with folders of their own on one
    /// machine never share it.
    pub fn node_id_for(run_dir: &Path) -> String {
        let path = std::path::absolute(run_dir).unwrap_or_else(|_| run_dir.to_owned());
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

/// What machines have to have in common for a hypervisor that waits to become any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) vcpus: u32,
    pub(crate) memory_mib: u32,
}

/// How an instance comes by its memory when it is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// By whichever way is quicker for what is in the page cache now; records the working set first.
    #[default]
    Auto,
    /// A private mapping of the memory file: the kernel reads pages as they are touched.
    File,
    /// From the page server, page by page as they are touched.
    Lazy,
    /// From the page server, the recorded working set at once and the rest as it is touched; records it first.
    Reap,
    /// As record-and-prefetch was first published: the working set is read in one piece before anything is installed, and
    /// installed before the guest runs. To measure against.
    Paper,
    /// All of it before the guest runs. To measure against.
    Resident,
}

impl FromStr for Memory {
    type Err = UnknownMemory;

    /// By the names that people use; those that are there to measure against have none.
    fn from_str(text: &str) -> Result<Self, UnknownMemory> {
        match text {
            "auto" => Ok(Self::Auto),
            "file" => Ok(Self::File),
            "lazy" => Ok(Self::Lazy),
            "reap" => Ok(Self::Reap),
            _ => Err(UnknownMemory),
        }
    }
}

/// A word that says nothing of how memory arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of auto, file, lazy and reap")]
pub struct UnknownMemory;

/// The snapshot of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotUse {
    /// Names all instances that are the same but for their identity. Letters, digits, dots, dashes and underscores.
    pub key: String,
    /// How memory arrives.
    pub memory: Memory,
}

/// One instance to be started.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Names the instance and its folder. Unique among the instances that run; up to 200 letters, digits, dots,
    /// dashes and underscores, not starting with a dot.
    pub id: String,
    /// The root file system: a squashfs file.
    pub root: PathBuf,
    /// The function's process. Its `time_unix_us` is set when it is sent.
    pub process: Process,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Where its log goes: the entries before those in this file are in one beside it, with `.1` after the name. Its folder is
    /// made. The log outlives the instance, and is its caller's to remove with [`crate::logs::remove`].
    pub log: PathBuf,
    /// Where the function listens, in the guest.
    pub port: u16,
    /// How to tell that the function is ready.
    pub probe: Probe,
    /// When that is tried, and what else is asked of the function.
    pub checks: Checks,
    /// From the start of the function's program until its probe succeeds.
    pub ready_deadline: Duration,
    /// Restores it from this snapshot if there is one, and allows one to be taken. Without, it is booted.
    pub snapshot: Option<SnapshotUse>,
}

impl Spec {
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            vcpus: self.vcpus,
            memory_mib: self.memory_mib,
        }
    }

    /// What the volumes hold that are written from outside.
    pub(crate) fn contents(&self) -> Vec<Contents> {
        let volumes = self.process.volumes.iter();
        volumes.filter_map(Volume::contents).collect()
    }

    /// SHA-256, in hexadecimal, of what a process begins with. Instances in which it differs are not copies of each other: a
    /// process knows its arguments and variables once and for all, and most read files of volumes only when they begin. It does
    /// not cover name, time and other files, which every clone is given anew.
    pub(crate) fn process_digest(&self) -> String {
        let Process {
            argv,
            env,
            cwd,
            user,
            hostname: _,
            time_unix_us: _,
            files: _,
            dns,
            rlimit_nofile,
            volumes,
            limits,
        } = &self.process;
        let files = |files: &[GuestFile]| -> Vec<_> {
            let files = files.iter();
            files
                .map(|it| (it.path.clone(), it.mode, it.contents.len()))
                .collect()
        };
        let shapes: Vec<_> = volumes
            .iter()
            .map(|it| {
                let files = it.files.as_deref().map(files);
                (&it.name, it.size_limit, files, &it.mounts)
            })
            .collect();
        let text = serde_json::json!([argv, env, cwd, user, dns, rlimit_nofile, shapes, limits]);
        let mut digest = Sha256::new_with_prefix(text.to_string());
        // How long each is stands in the text, so no two are taken for one.
        let files = volumes.iter().flat_map(|it| it.files.iter().flatten());
        files.for_each(|it| digest.update(&it.contents));
        let digest = digest.finalize();
        digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// How to tell that a function is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It accepts a TCP connection.
    Tcp {
        /// Where.
        port: u16,
    },
    /// It answers a GET over HTTP/1.1 with a status from 200 to 399.
    Http {
        /// Where.
        port: u16,
        /// The path, with its query.
        path: String,
        /// Headers to send; `Host` has a default.
        headers: Vec<(String, String)>,
    },
    /// It says of a service, by `grpc.health.v1.Health/Check`, that it is serving.
    Grpc {
        /// Where.
        port: u16,
        /// The service; empty for the server as a whole.
        service: String,
    },
    /// A command beside it ends with exit code 0, and a port accepts a TCP connection.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
        /// The port, if the command alone is not enough.
        port: Option<u16>,
    },
    /// It is ready once its program runs.
    None,
}

/// When a probe is tried, and how often it takes to believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Before the first attempt.
    pub initial_delay: Duration,
    /// From one attempt to the next. Zero, for readiness alone, is without much of a pause until it succeeds.
    pub period: Duration,
    /// What one attempt may take, if there is a period.
    pub timeout: Duration,
    /// Successes in a row after which the function is well, if there is a period.
    pub success_threshold: u32,
    /// Failures in a row after which it is not.
    pub failure_threshold: u32,
}

impl Default for Timing {
    /// Without a pause.
    fn default() -> Self {
        Self {
            initial_delay: Duration::ZERO,
            period: Duration::ZERO,
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
        }
    }
}

/// A probe, and when it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is tried.
    pub probe: Probe,
    /// When.
    pub timing: Timing,
}

/// What is asked of a function beside whether it is ready, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Whether it has started: before, nothing else is asked. If it fails, the instance does.
    pub startup: Option<Check>,
    /// When its [`Spec::probe`] is tried.
    pub readiness: Timing,
    /// Whether it still works, once it is ready. If it fails, the instance does.
    pub liveness: Option<Check>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_short_stable_and_differ_with_the_folder() {
        let one = Config::node_id_for(Path::new("/var/lib/vhive/run"));
        assert_eq!(one.len(), 8);
        assert_eq!(one, Config::node_id_for(Path::new("/var/lib/vhive/run")));
        assert_ne!(one, Config::node_id_for(Path::new("/var/lib/other/run")));
    }
}
