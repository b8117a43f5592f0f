//! The wrappers against the running kernel.

mod kvm;
mod network;
mod process;
mod userfaultfd;
