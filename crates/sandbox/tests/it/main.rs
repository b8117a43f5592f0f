//! Instances through their whole life, with real namespaces and taps; in place of a machine, its process is a `sleep`
//! and its guest a task that speaks the agent's protocol. Needs root and `/dev/net/tun`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod exec;
mod failures;
mod leaks;
mod life;
mod logs;
mod node;
mod pool;
mod readiness;
mod recovery;
mod restoring;
mod saving;
mod spares;
mod stopping;
mod volumes;
