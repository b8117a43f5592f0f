//! What the crate does, seen from outside.

#![allow(clippy::unwrap_used)]

mod archive;
mod build;
mod flatten;
mod registry;
mod samples;
mod store;
