//! Load on functions: what deploys them, what calls them at a rate, and what is written of it.
//!
//! A run is *open loop*: when a request is due does not depend on how fast others are answered, and its clock starts when it was
//! due, not when it was sent. [`arrivals`] says when requests are due, [`generator`] sends them, [`Summary`] is what came of it, and
//! [`files`] writes that down. [`deploy`] makes functions by the Kubernetes-style API, of a node or of a cluster.

pub mod arrivals;
mod call;
pub mod cluster;
pub mod deploy;
pub mod endpoints;
pub mod files;
pub mod generator;
pub mod grpc;
pub mod instances;
mod outcome;
mod pacer;
pub mod report;

pub mod spans;
mod summary;
mod svg;
mod target;
mod timing;
pub mod wildcard_dns;

pub use generator::{Live, Plan, Run};
pub use outcome::{Failure, Outcome, Sample, Start};
pub use summary::{Errors, Quantiles, Second, Share, Summary, Told};
pub use target::{Target, TargetError};
