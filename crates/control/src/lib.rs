//! Decisions: what should exist, what its status is, how many instances there should be.
//!
//! Every decision is a function of what is seen and of `now`; acting on it is somebody else's.
//!
//! *Invariant.* No I/O and no clock.

mod conditions;
pub mod family;
mod object;
pub mod observation;
mod reconcile;
pub mod routing;
pub mod scale;
pub mod snapshot;
mod traffic;

#[cfg(test)]
mod tests;

pub use family::{Family, Settings, plan};
pub use object::{Action, Object};
pub use observation::{ImageState, InstanceFailure, RevisionObservation};
pub use reconcile::{Retention, progress_deadline};
pub use routing::{Domain, HostTargets};
