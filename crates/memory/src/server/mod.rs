//! One guest being served.
//!
//! ```text
//!            connects           message fits           faults answered, bulk installed
//!  Listening ───────► Handshake ────────────► Serving ─────────────────────────────────┐
//!      │                  │                      │                                     │
//!      │ stop             │ stop                 │ stop          hypervisor ended      │ kernel refused, fault
//!      ▼                  ▼                      ▼                                     │ outside, panic
//!   Stopped            Stopped                Stopped              PeerEnded           ▼
//!                         └─ refused ─────────────────────────────────────────────► Failed
//! ```
//!
//! Two threads do the work: one answers faults, one runs the policy.

mod error;
mod faults;
mod handle;
mod progress;
mod run;
mod stats;

pub use error::{ServerError, StartError};
pub use handle::{Options, Server};
pub use progress::{Installed, Outcome, Peer};
pub use stats::Stats;
