//! What a function prints: written in the CRI log format, rotated by size, and followed.
//!
//! A log is a file, and one with `.1` after its name before it once it has grown over its size. Who writes it tells its readers
//! of each change, so that one who waits for more costs nothing until there is.

mod file;
mod follow;
mod line;
mod progress;
mod tail;
mod writer;

pub use file::remove;
pub use follow::{Follow, From, follow};
pub use line::{Line, Stream};
pub use progress::Log;
pub(crate) use progress::Progress;
pub(crate) use writer::Writer;
