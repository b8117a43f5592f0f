//! Snapshots on disk: written whole or not at all, found again after a restart, refused by name when they do not fit.
//!
//! ```text
//! <dir>/<key>/<id>/manifest.json   what it is of, what it fits, sizes and checksums
//!                  state           the devices, in the hypervisor's format
//!                  memory          the guest's memory, sparse
//!                  working-set     which of it a request needs (see the crate `memory`); may be missing
//! <dir>/.draft-…                   one being written; whatever is there at the start is of a dead process and removed
//! ```

mod cache;
mod draft;
mod eviction;
mod fit;
mod manifest;
mod snapshot;
mod store;
mod working_set;

pub use draft::Draft;
pub use fit::{Misfit, Origin};
pub use manifest::{Manifest, Part};
pub use snapshot::{Damage, Snapshot};
pub use store::{Error, Snapshots};

/// The files of a snapshot.
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const STATE: &str = "state";
pub(crate) const MEMORY: &str = "memory";
pub(crate) const WORKING_SET: &str = "working-set";
