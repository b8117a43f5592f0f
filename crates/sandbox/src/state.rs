//! What the world is told about an instance.

use std::fmt;

/// Where an instance is in its life. The diagram stands in the `lifecycle` module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Asked for; nothing is owned yet.
    Pending,
    /// On its way: network, hypervisor, boot, agent, function.
    Starting,
    /// The function answers on its port.
    Ready,
    /// A snapshot is being taken, and the function does not answer; it is [`State::Ready`] again after.
    Saving,
    /// Told to stop; no new work should be sent.
    Draining,
    /// Stopped because it was asked to, and everything it owned is gone.
    Stopped,
    /// Broken. What it owned is being removed; [`crate::Handle::stopped`] tells when that is done.
    Failed(Failure),
}

impl State {
    /// Whether the instance can no longer become ready or answer.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::Saving => "Saving",
            Self::Draining => "Draining",
            Self::Stopped => "Stopped",
            Self::Failed(failure) => return write!(f, "Failed({})", failure.reason.name()),
        })
    }
}

/// Why an instance failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure, to decide by.
    pub reason: Reason,
    /// What happened, with the last lines of the log or the console, to show to a user.
    pub message: String,
    /// The function's exit code, if it exited by itself.
    pub exit_code: Option<i32>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The instance was not accepted: its id is taken or unusable, or the sandbox is shutting down.
    Refused,
    /// The namespace, its tap or the agent's listener could not be made.
    NetworkFailed,
    /// The hypervisor did not start.
    HypervisorFailed,
    /// The guest did not get as far as starting the function within the boot deadline.
    BootTimedOut,
    /// The agent said something that makes no sense, or went away.
    AgentProtocol,
    /// The guest could not start the function's program: it cannot be executed, say, or its root not be mounted.
    StartFailed,
    /// The function ended before it was ready.
    ExitedEarly(Exit),
    /// The function started, but its probe did not succeed within the ready deadline.
    NeverListened,
    /// The function ended after it was ready.
    Exited(Exit),
    /// The function's liveness probe failed as often in a row as it may.
    Unhealthy,
    /// The guest's kernel killed the function for want of memory.
    OutOfMemory,
    /// The hypervisor's process ended.
    HypervisorDied,
    /// What served the memory of a restored guest failed.
    MemoryLost,
    /// The instance did not come up from its snapshot, which is not used again.
    RestoreFailed,
    /// The instance did not come back from being saved.
    SaveFailed,
}

impl Reason {
    /// The reason as one word, as conditions and events want it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused => "Refused",
            Self::NetworkFailed => "NetworkFailed",
            Self::HypervisorFailed => "HypervisorFailed",
            Self::BootTimedOut => "BootTimedOut",
            Self::AgentProtocol => "AgentProtocol",
            Self::StartFailed => "StartFailed",
            Self::ExitedEarly(_) => "ExitedEarly",
            Self::NeverListened => "NeverListened",
            Self::Exited(_) => "Exited",
            Self::Unhealthy => "Unhealthy",
            Self::OutOfMemory => "OutOfMemory",
            Self::HypervisorDied => "HypervisorDied",
            Self::MemoryLost => "MemoryLost",
            Self::RestoreFailed => "RestoreFailed",
            Self::SaveFailed => "SaveFailed",
        }
    }
}

/// How a process ended: by itself with a code, or by a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: Option<i32>,
    /// The signal's number.
    pub signal: Option<i32>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (_, Some(signal)) => write!(f, "was killed by signal {signal}"),
            (Some(code), None) => write!(f, "exited with code {code}"),
            (None, None) => f.write_str("ended"),
        }
    }
}
