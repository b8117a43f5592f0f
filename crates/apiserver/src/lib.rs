//! Embedded object store and the Kubernetes-style HTTP API over it
//!
//! [`Store`] keeps the objects, [`store::Memory`] those that are only to be seen, [`router`] is the API over it, [`auth`] makes the certificates, and [`serve()`] listens.

pub mod auth;
mod gc;
mod http;
pub mod namespaces;
mod serve;
pub mod store;

pub use self::{
    gc::collect,
    http::{Admission, Config, Elsewhere, End, Refused, View, Views, router},
    serve::serve,
    store::Store,
};
