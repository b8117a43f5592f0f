//! What goes wrong with a server.

use std::io;

use sys::{fd_passing, userfaultfd};

use crate::handshake;
use crate::installer::InstallError;

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to stop it by.
    #[error("cannot make an eventfd for a page server")]
    Control(#[source] io::Error),
    /// The socket cannot be waited on.
    #[error("cannot make a page server's socket non-blocking")]
    Listener(#[source] io::Error),
    /// The thread cannot be started.
    #[error("cannot start a page server's thread")]
    Thread(#[source] io::Error),
}

/// A server failed. Its guest waits for ever: kill the hypervisor.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The hypervisor's connection cannot be accepted.
    #[error("cannot accept the hypervisor's connection to the page server")]
    Accept(#[source] io::Error),
    /// It is not known who connected.
    #[error("cannot watch the hypervisor that connected to the page server")]
    Peer(#[source] fd_passing::Error),
    /// The handshake did not come about.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// The thread for bulk installation cannot be started.
    #[error("cannot start a thread for bulk installation")]
    Thread(#[source] io::Error),
    /// Waiting for faults failed.
    #[error("cannot wait for page faults of the guest")]
    Wait(#[source] io::Error),
    /// Faults cannot be read.
    #[error("cannot read page faults of the guest")]
    Messages(#[source] userfaultfd::Error),
    /// The guest touched an address that no region of the handshake has.
    #[error("the guest faulted at {address:#x}, outside of the memory regions of the handshake")]
    FaultOutside {
        /// The address, in the hypervisor.
        address: u64,
    },
    /// The hypervisor did something that the handshake has no place for.
    #[error("the hypervisor sent the page server a {event} event, which it does not serve")]
    Event {
        /// What the kernel reported.
        event: &'static str,
    },
    /// A page cannot be installed.
    #[error("a page of the guest cannot be installed")]
    Install(#[source] InstallError),
    /// A thread of the server panicked.
    #[error("the page server panicked while {0}; this is a bug")]
    Panicked(&'static str),
}
