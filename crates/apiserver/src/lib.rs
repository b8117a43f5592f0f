//! Embedded object store and the Kubernetes-style HTTP API over it

pub mod auth;
pub mod store;

pub use store::Store;
