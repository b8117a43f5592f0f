//! One instance: the task that owns it, and the handle everybody else has.

mod folder;
mod handle;
mod message;
mod steps;
mod task;

pub use folder::Record;
pub(crate) use folder::usable;
pub(crate) use handle::Shared;
pub use handle::{Handle, Phase};
pub(crate) use task::{Environment, Task};

/// How many of the last lines a failure's message quotes.
pub(crate) const TAIL: usize = 10;
