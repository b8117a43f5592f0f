//! One instance: the task that owns it, and the handle everybody else has.

mod folder;
mod handle;
mod held;
mod message;
mod restoring;
mod saving;
mod steps;
mod task;

pub use folder::Record;
pub(crate) use folder::{Folder, usable};
pub(crate) use handle::Shared;
pub use handle::{Handle, Phase};
pub use saving::SaveError;
pub(crate) use task::{Environment, Task};

/// How many of the last lines a failure's message quotes.
pub(crate) const TAIL: usize = 10;
