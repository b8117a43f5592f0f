//! The gateway between real clients and real instances over loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answered;
mod breaker;
mod connections;
mod drain;
mod ending;
mod expect;
mod grpc;
mod headers;
mod instance;
mod interim;
mod retry;
mod rig;
mod routing;
mod stats;
mod streaming;
mod timeouts;
mod tls;
mod tunnel;
mod wake;
