//! The binary as its users have it: real guests, real requests, real signals.
//!
//! These tests need root, `qemu-system-x86_64` and the distribution's kernel package; what is missing fails them with the
//! way to install it.

mod command_line;
mod machine;
mod node;
mod quickstart;
