//! A node as `kubectl`, `kn` and `crictl` have it: the real tools, what they print, and how they exit.
//!
//! Besides what the other tests need, these need `kubectl` (the package `kubernetes-client`) and `kn` (which `cargo xtask test` builds);
//! where one is missing its tests fail and say so.
//! After a change that is meant, `INSTA_UPDATE=always cargo test -p vhive --test kubernetes` writes the new transcripts, to be read
//! before they are committed.

#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod harness;

mod cluster;
mod crictl;
mod kn;
mod kubectl;
mod long_running;
mod namespaces;
mod same_every_time;
mod transcript;
