//! PID 1 of the guest, and the protocol it speaks with the host.
//!
//! The library is the protocol, which the host side shares; the binary is PID 1.

pub mod protocol;
