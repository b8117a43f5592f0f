//! The control messages, sent as JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a page of the guest's memory.
const PAGE: usize = 4096;
/// A symbolic link to a file whose path is shorter is no page of its own (linux `mm/shmem.c`, `SHORT_SYMLINK_LEN` is 128, and the link
/// leads through `..data/`).
const SHORT_PATH: usize = 120;

/// A message from the host to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuest {
    /// Run this process. Sent once, after [`ToHost::Hello`].
    Start(Process),
    /// Send a signal to the process.
    Signal(Signal),
    /// End the process, then the machine.
    Shutdown(Shutdown),
    /// The machine is about to be saved: say what there is to say, then leave, and dial anew.
    Quiesce,
    /// Become one of many: the answer to a [`Hello`] that is `resumed`.
    Resume(Resume),
    /// Give volumes new contents, while the process runs. Not answered.
    Update(Update),
    /// Run a command beside the process. [`ToHost::Executed`] answers it, some time later; others may be asked for meanwhile.
    Exec(Exec),
}

/// A message from the guest to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToHost {
    /// The guest is up and waits for [`ToGuest::Start`]. The first message.
    Hello(Hello),
    /// The process runs.
    Started(Started),
    /// The process ended. The last message.
    Exited(Exited),
    /// The process could not be started, or the guest broke. The last message.
    Failed(Failed),
    /// All was said: the answer to [`ToGuest::Quiesce`], and the last message on this connection.
    Quiesced,
    /// The process may be spoken to: the answer to [`ToGuest::Resume`].
    Resumed,
    /// A command has ended: the answer to [`ToGuest::Exec`].
    Executed(Executed),
}

/// The guest presents itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::VERSION`] of the agent.
    pub version: u32,
    /// Version of the agent's crate.
    pub agent: String,
    /// Release of the guest's kernel, as `uname -r` has it.
    pub kernel: String,
    /// Microseconds since the kernel's clock started.
    pub uptime_us: u64,
    /// The process runs already: the guest was told to [`ToGuest::Quiesce`], and may have been saved and restored since. It
    /// waits for [`ToGuest::Resume`].
    pub resumed: bool,
}

/// One step of the agent's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Name of the step.
    pub name: String,
    /// When it ended: microseconds since the kernel's clock started.
    pub end_us: u64,
}

/// The process runs: its program has been executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Process id inside the guest.
    pub pid: u32,
    /// What the agent did until now, in order.
    pub steps: Vec<Step>,
}

/// How the process ended. Either `code` or `signal` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Exit code.
    pub code: Option<i32>,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
    /// The guest's kernel killed it because memory ran out.
    pub oom: bool,
}

/// Something stopped the guest from running the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What was being done: `exec`, `user`, `workdir`, `files`, `root`, …
    pub stage: String,
    /// What went wrong, with the object: `"/app/server": No such file or directory`.
    pub message: String,
}

/// Send a signal to the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Number of the signal.
    pub signal: i32,
}

/// End the process with SIGTERM, with SIGKILL when the grace is over, then the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// Milliseconds between SIGTERM and SIGKILL.
    pub grace_ms: u64,
}

/// What makes this copy of a saved machine differ from the others. Files that are given are written anew; the
/// process is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Wall clock: microseconds since 1970-01-01T00:00:00Z. 0 leaves the guest's clock as it is.
    pub time_unix_us: u64,
    /// At least 32 secret random bytes, which no other copy gets. The kernel makes its random numbers from them at once;
    /// generators inside the process are not reached. Empty leaves the kernel's as they are.
    #[serde(with = "base64_bytes")]
    pub entropy: Vec<u8>,
    /// Host name, also in `/etc/hostname` and `/etc/hosts`. Empty leaves the saved machine's.
    pub hostname: String,
    /// Files to write.
    pub files: Vec<GuestFile>,
    /// What the host's volumes hold now. Those that are not named stay as they were saved.
    pub volumes: Vec<Contents>,
}

/// New contents of volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// What they hold now.
    pub volumes: Vec<Contents>,
}

/// The process to run. Printing it shows no argument and no value of a variable, which may be secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments. A program without a slash is looked up in `PATH`.
    pub argv: Vec<String>,
    /// The whole environment. `PATH` and `HOME` are added where they are missing.
    pub env: Vec<(String, String)>,
    /// Working directory, made if missing. Empty means `/`.
    pub cwd: String,
    /// `""` (root), `uid`, `name`, `uid:gid` or `name:group`, resolved in the image.
    pub user: String,
    /// Host name. Empty leaves the kernel's.
    pub hostname: String,
    /// Wall clock: microseconds since 1970-01-01T00:00:00Z. 0 leaves the guest's clock as it is.
    pub time_unix_us: u64,
    /// Files to write before the process starts.
    pub files: Vec<GuestFile>,
    /// Name servers, for `/etc/resolv.conf`. Empty leaves the image's file.
    pub dns: Vec<String>,
    /// Limit of open files, soft and hard. 0 leaves the kernel's.
    pub rlimit_nofile: u64,
    /// Folders to mount before the process starts.
    pub volumes: Vec<Volume>,
    /// What it, with all that it starts, may use of the machine.
    pub limits: Limits,
}

/// What a process may use, as its control group says it; 0 is as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Thousandths of a CPU that it asks for: its weight among others.
    pub cpu_request_milli: u64,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Process")
            .field("program", &self.argv.first())
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("hostname", &self.hostname)
            .field("time_unix_us", &self.time_unix_us)
            .field("files", &self.files)
            .field("dns", &self.dns)
            .field("rlimit_nofile", &self.rlimit_nofile)
            .field("volumes", &self.volumes)
            .field("limits", &self.limits)
            .finish()
    }
}

/// A command to run beside the process, where and as it runs: in its root and control group, with nothing on standard input.
/// Printing it shows no argument and no value of a variable, which may be secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The host's name for it, which no other command on this connection has.
    pub id: u64,
    /// Program and arguments, as [`Process::argv`].
    pub argv: Vec<String>,
    /// Variables beside those of the process, or in place of them.
    pub env: Vec<(String, String)>,
    /// Working directory. Empty is the one that the process began in.
    pub cwd: String,
    /// As [`Process::user`]. Empty is whom the process runs as.
    pub user: String,
    /// Milliseconds until it is killed, with what it has started. 0 lets it take as long as it takes.
    pub timeout_ms: u64,
    /// Most bytes that are kept of each of its standard output and standard error: the first ones. At most
    /// [`super::MAX_EXEC_OUTPUT`] are.
    pub max_output: u64,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Exec")
            .field("id", &self.id)
            .field("program", &self.argv.first())
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("timeout_ms", &self.timeout_ms)
            .field("max_output", &self.max_output)
            .finish()
    }
}

/// What became of a command. Printing it does not show what the command wrote, which may be secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// As in [`Exec`].
    pub id: u64,
    /// How it ended.
    pub end: ExecEnd,
    /// The beginning of what it wrote to its standard output.
    #[serde(with = "base64_bytes")]
    pub stdout: Vec<u8>,
    /// The beginning of what it wrote to its standard error.
    #[serde(with = "base64_bytes")]
    pub stderr: Vec<u8>,
    /// It wrote more than that.
    pub truncated: bool,
}

impl fmt::Debug for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executed")
            .field("id", &self.id)
            .field("end", &self.end)
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .field("truncated", &self.truncated)
            .finish()
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum ExecEnd {
    /// By itself, with an exit code.
    Exited {
        /// The code.
        code: i32,
    },
    /// By a signal.
    Signaled {
        /// Its number.
        signal: i32,
    },
    /// It was killed because its time was over.
    TimedOut,
    /// It could not be started.
    NotStarted(Failed),
}

/// A folder in the guest's memory that the process sees somewhere in its root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Unique among those of the process.
    pub name: String,
    /// Most bytes that it may hold. 0 for as many as the guest's memory allows.
    pub size_limit: u64,
    /// What the host writes into it, and nobody else. `None` for a folder of the process's own, which starts empty and
    /// which every user may write to.
    pub files: Option<Vec<GuestFile>>,
    /// Where it is seen.
    pub mounts: Vec<Mount>,
}

impl Volume {
    /// What it holds, if the host writes it.
    pub fn contents(&self) -> Option<Contents> {
        Some(Contents {
            name: self.name.clone(),
            files: self.files.clone()?,
        })
    }

    /// How many bytes of the guest's memory the files that the host writes may take: each, however small, whole pages, and the link to
    /// it.
    pub fn footprint(&self) -> u64 {
        let files = self.files.iter().flatten();
        let sizes = files.map(|file| {
            let pages = file.contents.len().next_multiple_of(PAGE).max(PAGE);
            let path = file.path.len();
            let link = if path < SHORT_PATH { path } else { PAGE };
            (pages + link) as u64
        });
        sizes.sum()
    }
}

/// Where a process sees a [`Volume`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path. It is made, with the folders on the way, if it is missing.
    pub path: String,
    /// What of the volume is seen, relative to it: a file or a folder. Empty is all of it. Of the process's own volumes, a
    /// folder is made if it is missing.
    pub sub_path: String,
    /// Whether the process may not write to it. To what the host writes it may not in any case.
    pub read_only: bool,
}

/// What a [`Volume`] of the host's is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its name.
    pub name: String,
    /// All its files.
    pub files: Vec<GuestFile>,
}

/// A file that the guest writes. Printing it does not show its contents, which may be secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFile {
    /// Absolute path; of a volume's file, relative to the volume, without `..`. Folders on the way are made.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Contents.
    #[serde(with = "base64_bytes")]
    pub contents: Vec<u8>,
}

impl fmt::Debug for GuestFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            mode,
            contents,
        } = self;
        write!(f, "{path:?} ({mode:o}, {} bytes)", contents.len())
    }
}

mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}
