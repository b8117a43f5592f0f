//! One plan for each kind.

mod collect;
mod configuration;
mod revision;
mod route;
mod routing_state;
mod service;

pub use collect::Retention;
pub(crate) use collect::{deadline as collection, plan as collect};
pub(crate) use configuration::{plan as configuration, revision_name};
pub(crate) use revision::DEFAULT_PROGRESS_DEADLINE;
pub use revision::deadline as progress_deadline;
pub(crate) use revision::plan as revision;
pub(crate) use route::{Revisions, plan as route};
pub(crate) use routing_state::plan as routing_state;
pub(crate) use service::plan as service;
