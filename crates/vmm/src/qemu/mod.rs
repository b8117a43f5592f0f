//! Machines run by QEMU: the `microvm` machine type, with KVM or by emulation.
//!
//! A snapshot is what QEMU writes when it migrates (its docs/devel/migration.rst), without the guest's memory
//! (`x-ignore-shared`), and the memory in a file of its own. A QEMU that is to take one in is started without knowing which:
//! memory and root come late, through a preloaded library (`shim`) and QMP.

mod arguments;
mod binary;
mod error;
mod migration;
mod restore;
mod save;
mod shim;
mod spawn;

use std::path::{Path, PathBuf};

use crate::config::{DormantConfig, MachineConfig, RestoreConfig};
use crate::hypervisor::{BootFuture, Hypervisor, PrepareFuture};
use crate::machine::Dormant;

pub use error::Error;
pub(crate) use save::save;

/// A QEMU that was found on this host.
#[derive(Debug, Clone)]
pub struct Qemu {
    binary: PathBuf,
    version: String,
}

impl Qemu {
    /// Finds QEMU: at `explicit`, or in `PATH`. The error says which package to install.
    pub fn find(explicit: Option<&Path>) -> Result<Qemu, Error> {
        let binary = binary::find(explicit)?;
        let version = binary::version(&binary)?;
        Ok(Qemu { binary, version })
    }

    /// Where it is.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its version: `7.2.22`.
    pub fn version(&self) -> String {
        self.version.clone()
    }
}

impl Hypervisor for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn identity(&self) -> String {
        format!("qemu {}", self.version)
    }

    fn boot(&self, config: MachineConfig) -> BootFuture<'_> {
        Box::pin(async move { Ok(spawn::boot(&self.binary, config).await?) })
    }

    fn prepare(&self, config: DormantConfig) -> PrepareFuture<'_> {
        Box::pin(async move { Ok(spawn::prepare(&self.binary, config).await?) })
    }

    fn restore(&self, dormant: Dormant, config: RestoreConfig) -> BootFuture<'_> {
        Box::pin(async move { Ok(restore::restore(dormant, config).await?) })
    }
}
