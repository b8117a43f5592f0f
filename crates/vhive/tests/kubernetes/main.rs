//! A node as `kubectl` has it: the real tool, what it prints, and how it exits.
//!
//! Besides what the other tests need, these need `kubectl` (the package `kubernetes-client`); where it is missing they fail and say so.
//! After a change that is meant, `INSTA_UPDATE=always cargo test -p vhive --test kubernetes` writes the new transcripts, to be read
//! before they are committed.

#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod harness;

mod apply;
mod cascade;
mod cluster;
mod explain;
mod kn;
mod kubectl;
mod pods;
mod same_every_time;
mod transcript;
