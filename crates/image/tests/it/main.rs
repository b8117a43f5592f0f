//! What the crate does, seen from outside.

#![allow(clippy::unwrap_used)]

mod flatten;
