//! An instance's network: a namespace of its own with a tap and the agent's listener in it.
//!
//! Every instance sees the same addresses; what tells them apart is the namespace their sockets were made in.

mod pool;

use std::io;
use std::net::{SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use sys::netns::{self, DIRECTORY, NetNs};
use sys::{link, tap};
use tokio::net::TcpStream;
use tracing::warn;
use vmm::agent::protocol;

pub(crate) use pool::Pool;

/// The tap's name inside each namespace.
const TAP: &str = "tap0";

/// A network could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot set up the network namespace {name}")]
    Namespace { name: String, source: netns::Error },
    #[error("cannot make a tap in the network namespace {name}")]
    Tap { name: String, source: tap::Error },
    #[error("cannot configure the tap in the network namespace {name}")]
    Link { name: String, source: link::Error },
}

/// The namespace, removed when this is dropped. It is never used for a second instance: what the first left in
/// it, sockets and connection states, would be the next one's.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    /// Unique among the networks that this node has made.
    pub(crate) number: u64,
    pub(crate) namespace: Arc<NetNs>,
    /// For the hypervisor.
    pub(crate) tap: Option<OwnedFd>,
    /// Where the guest's agent dials in.
    pub(crate) agent: Option<TcpListener>,
}

impl Network {
    /// Makes the network `number` in the namespace `name`. Blocks for some milliseconds.
    fn create(name: &str, number: u64) -> Result<Self, Error> {
        let named = |source| Error::Namespace {
            name: name.to_owned(),
            source,
        };
        let namespace = NetNs::create(&Path::new(DIRECTORY).join(name)).map_err(named)?;
        // From here on an early return removes the namespace.
        let mut network = Self {
            name: name.to_owned(),
            number,
            namespace: Arc::new(namespace),
            tap: None,
            agent: None,
        };
        network.tap = Some(
            network
                .namespace
                .enter(|| make_tap(name))
                .map_err(named)??,
        );
        let address = SocketAddrV4::new(protocol::HOST, protocol::HOST_PORT);
        network.agent = Some(network.namespace.tcp_listen(address).map_err(named)?);
        Ok(network)
    }

    /// The namespace's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = NetNs::delete(self.namespace.path()) {
            warn!(%error, namespace = self.name, "cannot remove a network namespace");
        }
    }
}

fn make_tap(name: &str) -> Result<OwnedFd, Error> {
    let tap = tap::create(TAP, false).map_err(|source| Error::Tap {
        name: name.to_owned(),
        source,
    })?;
    let configure = || {
        link::set_mac(TAP, protocol::HOST_MAC)?;
        link::add_address(TAP, protocol::HOST, protocol::PREFIX)?;
        link::set_up(TAP)?;
        link::add_neighbour(TAP, protocol::GUEST, protocol::GUEST_MAC)
    };
    configure().map_err(|source| Error::Link {
        name: name.to_owned(),
        source,
    })?;
    Ok(tap.fd)
}

/// The start of the names of this node's namespaces.
pub(crate) fn prefix(node_id: &str) -> String {
    format!("vhive-{node_id}-")
}

/// Removes every namespace of this node, and returns how many there were.
pub(crate) fn remove_all(node_id: &str) -> Result<usize, netns::Error> {
    let prefix = prefix(node_id);
    let mut removed = 0;
    for path in NetNs::list(&prefix)? {
        // The node `a-1` has names that start like those of the node `a`.
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(&prefix));
        if number.is_none_or(|number| number.parse::<u64>().is_err()) {
            continue;
        }
        match NetNs::delete(&path) {
            Ok(()) => removed += 1,
            Err(error) => warn!(%error, "cannot remove a network namespace left behind"),
        }
    }
    Ok(removed)
}

/// Connects to the guest's `port` from inside the namespace.
pub(crate) async fn connect(namespace: &NetNs, port: u16) -> io::Result<TcpStream> {
    let address = SocketAddrV4::new(protocol::GUEST, port);
    let stream = namespace
        .tcp_connect_nonblocking(address)
        .map_err(|error| match error {
            netns::Error::Socket { source, .. } => source,
            other => io::Error::other(other),
        })?;
    let stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}
