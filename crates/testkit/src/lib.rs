//! Fakes at protocol level and the node harness for tests

pub mod containerd;
pub mod guest;
pub mod hypervisor;
pub mod registry;
