//! OCI images: pull, push, import, build, flatten.
//!
//! [`Store`] keeps them, [`registry`] moves them between machines, [`archive`] reads and writes them
//! as files, [`build`] makes them, [`flatten`] turns one into the root file system of a guest.

pub mod archive;
pub mod build;
pub mod digest;
pub mod flatten;
pub mod reference;
pub mod registry;
pub mod squashfs;

mod compression;
mod config;
mod manifest;
mod store;

pub use build::{BuildSpec, Source};
pub use config::ImageConfig;
pub use digest::Digest;
pub use flatten::Limits;
pub use manifest::Error as ManifestError;
pub use reference::Reference;
pub use store::{BlobFolder, Error, Image, ImageInfo, Pin, RootImage, Store};
