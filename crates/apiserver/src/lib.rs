//! Embedded object store and the Kubernetes-style HTTP API over it
//!
//! [`Store`] keeps the objects, [`store::Memory`] those that are only to be seen, [`router`] is the API over it, [`auth`] makes the certificates, [`serve()`] listens, and
//! [`namespaces`] end with what is in them.

pub mod auth;
mod gc;
mod http;
mod metrics;
pub mod namespaces;
mod process;
mod serve;
pub mod store;

pub use self::{
    gc::collect,
    http::{Admission, Config, Elsewhere, End, Refused, View, Views, router},
    metrics::Metrics,
    serve::{Server, serve},
    store::Store,
};
