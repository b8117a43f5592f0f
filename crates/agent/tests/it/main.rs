//! The protocol, as both sides use it.

mod protocol;
