//! The endpoint between a client and a real containerd, with guests that are tasks of the test. Needs root, and the packages
//! `containerd`, `runc`, `containernetworking-plugins` and `busybox-static` of Debian or Ubuntu.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod containerd;
mod native;
mod proxy;
mod rig;
mod seed;

/// The messages, as the endpoint has them.
#[allow(clippy::pedantic, clippy::enum_variant_names, dead_code, unreachable_pub, reason = "written by a program")]
#[rustfmt::skip]
#[path = "../../src/proto/runtime_v1.rs"]
mod runtime_v1;
