//! Safe wrappers round the kernel; the only crate with unsafe code.
