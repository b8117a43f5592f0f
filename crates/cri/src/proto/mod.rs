//! What goes over the wire, of the CRI, of containerd and of the original vHive.

pub(crate) mod containerd;
pub(crate) mod vhive;

/// The messages of the CRI that are read or written here. Written by `proto/generate`.
#[allow(
    clippy::pedantic,
    clippy::enum_variant_names,
    dead_code,
    unreachable_pub,
    reason = "written by a program, and whole where a message is used in part"
)]
#[rustfmt::skip]
pub(crate) mod runtime_v1;
