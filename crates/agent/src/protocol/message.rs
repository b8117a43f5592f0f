//! The control messages, sent as JSON.

use serde::{Deserialize, Serialize};

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
}

/// The process to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A file that the guest writes before the process starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFile {
    /// Absolute path. Folders on the way are made.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Contents.
    #[serde(with = "base64_bytes")]
    pub contents: Vec<u8>,
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
