//! What the gateway is handed: places where a revision answers.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;

/// Opens connections to one instance. The gateway does not know how: into a network namespace, over
/// loopback, to another machine.
pub trait Connector: Send + Sync {
    /// A new connection to the instance's port. The gateway sets `TCP_NODELAY` and bounds the time.
    fn connect(&self) -> BoxFuture<'static, io::Result<TcpStream>>;

    /// Told when the instance has answered its first request, and not with a server error (5xx); told again only if the
    /// endpoint was taken away and set again meanwhile. Must not block.
    fn answered(&self) {}

    /// Resolves when the instance is gone. Whatever still waits for it then fails at once. By default it never is, which does
    /// where the other side's system closes its connections.
    fn ended(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// One ready instance of a revision.
#[derive(Clone)]
pub struct Endpoint {
    /// Identity, unique within the revision: an endpoint that is set again under the same id keeps its
    /// connections and its count of requests in flight (and its first connector).
    pub id: String,
    /// How to reach it.
    pub connector: Arc<dyn Connector>,
    /// What its start was made of, in order; shown to a request that waited for it and asked
    /// (`vhive-explain: 1`).
    pub phases: Vec<(String, Duration)>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("phases", &self.phases)
            .finish_non_exhaustive()
    }
}
