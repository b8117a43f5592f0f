//! From a port in the pod's network to the guest: a socket that listens inside the pod's namespace, and for each connection one into the
//! instance's.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use sandbox::Handle;
use sys::netns::NetNs;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

/// For each direction of a connection.
const BUFFER: usize = 32 << 10;
/// When no connection can be accepted, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(50);

/// A port that is listened on until this is dropped; its connections are cut then.
#[derive(Debug)]
pub(crate) struct Forward {
    /// Where, in the pod.
    pub(crate) address: SocketAddrV4,
    _stop: DropGuard,
}

/// The instance behind a port: there may be none yet, or no more.
pub(crate) type Target = watch::Receiver<Option<Handle>>;

impl Forward {
    /// Listens on all addresses of the pod, for a port of the guest. Must be called in a tokio runtime.
    pub(crate) fn everywhere(pod: &NetNs, port: u16, target: Target) -> io::Result<Self> {
        let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        Self::start(pod, address, port, target)
    }

    /// Listens at `at` of the loopback, for what is in the pod alone; 0 is where nobody else does.
    pub(crate) fn locally(pod: &NetNs, at: u16, port: u16, target: Target) -> io::Result<Self> {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, at);
        Self::start(pod, address, port, target)
    }

    fn start(pod: &NetNs, address: SocketAddrV4, port: u16, target: Target) -> io::Result<Self> {
        let listener = pod.tcp_listen(address).map_err(io::Error::other)?;
        let listener = TcpListener::from_std(listener)?;
        let bound = listener.local_addr()?.port();
        let stop = CancellationToken::new();
        let forward = Self {
            address: SocketAddrV4::new(*address.ip(), bound),
            _stop: stop.clone().drop_guard(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = accept(listener, port, target) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(forward)
    }
}

async fn accept(listener: TcpListener, port: u16, target: Target) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connection(client, port, target.clone()));
                }
                Err(error) => {
                    warn!(%error, port, "cannot accept a connection in a pod");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, port: u16, mut target: Target) {
    // A client that was told of the port before the guest is there waits for it.
    let Ok(instance) = target.wait_for(Option::is_some).await.map(|it| it.clone()) else {
        return;
    };
    let Some(instance) = instance else { return };
    let connected = instance.connect_to(port).await;
    let mut guest = match connected {
        Ok(guest) => guest,
        Err(error) => {
            debug!(%error, port, instance = instance.id(), "the guest does not take a connection");
            // What a client sees of a port on which nobody listens, as far as that goes after the fact.
            let _ = client.set_zero_linger();
            return;
        }
    };
    let _ = client.set_nodelay(true);
    let copied = copy_bidirectional_with_sizes(&mut client, &mut guest, BUFFER, BUFFER).await;
    if let Err(error) = copied {
        debug!(%error, port, instance = instance.id(), "a connection broke");
        let _ = client.set_zero_linger();
    }
}
