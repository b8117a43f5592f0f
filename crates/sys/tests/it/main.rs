//! The wrappers against the running kernel.

mod network;
mod process;
