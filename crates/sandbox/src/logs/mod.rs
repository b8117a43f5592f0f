//! What a function prints: written in the CRI log format, rotated by size, and followed.
//!
//! A log is `function.log`, and `function.log.1` before it once it has grown over its size. Both go away with
//! the instance; the last lines live on in the failure's message.

mod file;
mod follow;
mod line;
mod tail;
mod writer;

pub use follow::{Follow, From, follow};
pub use line::{Line, Stream};
pub(crate) use writer::Writer;
