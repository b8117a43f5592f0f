//! Safe wrappers round the kernel; the only crate with unsafe code, but for the library that is preloaded into QEMU.

pub mod direct_io;
pub mod entropy;
pub mod fd_passing;
pub mod kvm;
pub mod link;
pub mod mapping;
pub mod memfd;
pub mod netns;
pub mod page_cache;
pub mod process;
pub mod sparse;
pub mod tap;
pub mod tsc;
pub mod userfaultfd;
