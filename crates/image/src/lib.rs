//! OCI images: pull, push, import, build, flatten.

pub mod digest;
pub mod flatten;
pub mod reference;
pub mod squashfs;

mod compression;
mod config;
mod manifest;
mod store;

pub use config::ImageConfig;
pub use digest::Digest;
pub use flatten::Limits;
pub use manifest::Error as ManifestError;
pub use reference::Reference;
pub use store::{Error, Image, ImageInfo, RootImage, Store};
