//! The host side of the agent: one connection to PID 1 of a guest.
//!
//! Guests are untrusted: every message is bounded, everything that is waited for has a deadline, and what a
//! guest says out of turn is an error that names it. The protocol itself is [`protocol`].

mod error;
mod executions;
mod session;
mod stream;

pub use ::agent::protocol;
pub use error::Error;
pub use executions::{Command, Execution};
pub use session::{Commands, Event, Events, Listener, Session};
