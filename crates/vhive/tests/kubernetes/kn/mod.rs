//! `kn`. `cargo xtask test` leaves these out, and says so, where there is no Go to build it with.

mod failing;
mod quickstart;
mod revision;
mod service;
mod traffic;
