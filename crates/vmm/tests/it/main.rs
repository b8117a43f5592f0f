//! What the crate does with real machines, and with guests that misbehave.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

mod exec;
mod guest;
mod kernel;
mod machine;
mod process;
mod root;
mod session;
mod snapshot;
mod volumes;
