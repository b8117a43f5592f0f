//! OCI images: pull, push, import, build, flatten

pub mod flatten;
pub mod squashfs;

pub use flatten::Limits;
