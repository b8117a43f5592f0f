//! Knative Serving's types (`serving.knative.dev/v1`) and the core kinds that functions take values and files from, their
//! defaults and their validation.
//!
//! *Invariant.* No I/O and no clock: everything here is a function of what it is given.

pub mod admission;
pub mod autoscaling;
pub mod core;
mod decode;
pub mod defaults;
pub mod duration;
pub mod field_error;
mod forbidden;
mod invalid;
pub mod meta;
pub mod quantity;
pub mod resource;
pub mod serving;
pub mod settings;
pub mod status;
pub mod validate;

pub use admission::{admit, admit_by, admit_status, admit_with, unknown_fields};
pub use field_error::FieldErrors;
pub use resource::{Resource, kinds};
pub use settings::Settings;
pub use status::Status;

#[cfg(test)]
mod tests;
