//! Safe wrappers round the kernel; the only crate with unsafe code.

pub mod kvm;
pub mod link;
pub mod memfd;
pub mod netns;
pub mod process;
pub mod tap;
pub mod tsc;
