//! What can go wrong between host and guest.

use std::io;
use std::time::Duration;

use super::protocol;

/// The guest did not do what the protocol asks of it, or could not start the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket that waits for the agent does not work.
    #[error("cannot listen for the agent")]
    Listen(#[source] io::Error),
    /// The connection failed.
    #[error("the connection to the agent failed")]
    Io(#[source] io::Error),
    /// The guest took too long.
    #[error("the guest did not {what} within {within:?}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        within: Duration,
    },
    /// The guest closed the connection.
    #[error("the guest closed the connection before it {before}")]
    Closed {
        /// What it should have done first.
        before: &'static str,
    },
    /// The guest sent bytes that are not the protocol.
    #[error("the guest does not keep to the protocol")]
    Protocol(#[from] protocol::Error),
    /// The guest sent a message that has no place here.
    #[error("the guest sent {got} where {expected} was due")]
    OutOfTurn {
        /// Kind of the message that came.
        got: &'static str,
        /// Kind of the message that should have come.
        expected: &'static str,
    },
    /// The agent is of another version.
    #[error(
        "the agent speaks version {agent} of the protocol, this host {host}; import the kernel again"
    )]
    Version {
        /// The agent's.
        agent: u32,
        /// The host's.
        host: u32,
    },
    /// The guest could not start the process. The machine ends.
    #[error("{stage}: {message}")]
    Failed {
        /// What the guest was doing.
        stage: String,
        /// What went wrong, with the object.
        message: String,
    },
}
