//! Firecracker's userfaultfd handshake.
//!
//! The hypervisor connects and sends one JSON array that says where the guest's memory is, with exactly one
//! descriptor: the userfaultfd it registered that memory with. Nothing else is ever sent.
//! (`docs/snapshotting/handling-page-faults-on-snapshot-resume.md` of Firecracker.)

mod message;
mod receive;

pub use message::{Refusal, parse};
pub use receive::Error;
pub(crate) use receive::{Wait, receive};

/// Longest message taken, in bytes. Firecracker sends some hundred.
pub const MAX_MESSAGE: usize = 64 << 10;
