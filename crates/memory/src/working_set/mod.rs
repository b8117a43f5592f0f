//! The file of a working set: the pages a restored guest used until its first answer, with their content.
//!
//! ```text
//! ┌─ header ────────────────────────────────────────────────────┬─ content ────────────────────┐
//! │ fixed part │ data runs │ zero runs │ checksums │ zeros to 4096 │ the pages of the data runs      │
//! └─────────────────────────────────────────────────────────────┴──────────────────────────────┘
//! ```
//!
//! Content is in the order of the pages and aligned for direct reads. It holds no zero pages: those of the set
//! are listed as zero runs, and are installed without being read.

mod format;
mod reader;
mod writer;

pub use format::{Binding, FormatError, Header};
pub use reader::{ReadError, Reader};
pub use writer::{Stored, TEMPORARY, WriteError, write};
