//! Behaviour of the store, of the API over it, and of its TLS.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

mod durability;
mod store;
mod watch;
