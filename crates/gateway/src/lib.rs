//! The data plane: ingress, routing, queueing, balancing.
//!
//! ```text
//! client ─► listener ─► host ─► weighted revision ─► breaker ─► connection pool ─► endpoint
//!           HTTP/1.1     route table                  │  queue    HTTP/1.1 or HTTP/2
//!           and HTTP/2,                               └─ no endpoint: demand, wait, or failure
//!           plain or TLS
//! ```
//!
//! A [`Gateway`] is told about routes, revisions and their ready [`Endpoint`]s, and [serves](Gateway::serve)
//! clients. When a request comes for a revision without an endpoint it names the revision to the
//! [`DemandReceiver`] and keeps the request until an endpoint or a [`Failure`] is set.
//!
//! *Invariants.* It does not know what an instance is: it gets a [`Connector`]. Nothing on the path of a
//! request takes a lock that revisions share, or touches the disk. Bodies are streamed; none is ever
//! buffered. Only what has not reached an instance is tried again.

mod alongside;
mod body;
mod config;
mod demand;
mod doorbell;
mod downstream;
mod endpoint;
mod expect;
mod fields;
mod forwarded;
mod gateway;
mod headers;
mod key;
mod listener;
mod metrics;
mod probe;
mod proxy;
mod refusal;
mod revision;
mod route;
mod session;
mod stall;
mod tasks;
mod timing;
mod tunnel;
mod upstream;
mod window;

pub use crate::config::{Failure, Options, Protocol, RevisionConfig};
pub use crate::demand::DemandReceiver;
pub use crate::endpoint::{Connector, Endpoint};
pub use crate::gateway::Gateway;
pub use crate::key::RevisionKey;
pub use crate::revision::Stats;
pub use crate::route::HostRoute;
