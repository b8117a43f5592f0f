//! One plan for each kind.

mod configuration;
mod revision;
mod route;
mod service;

pub(crate) use configuration::plan as configuration;
pub(crate) use revision::plan as revision;
pub(crate) use route::plan as route;
pub(crate) use service::plan as service;
