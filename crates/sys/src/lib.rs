//! Safe wrappers round the kernel; the only crate with unsafe code.

pub mod link;
pub mod netns;
pub mod tap;
