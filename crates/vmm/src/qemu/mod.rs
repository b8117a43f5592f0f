//! Machines run by QEMU: the `microvm` machine type, with KVM or by emulation.

mod arguments;
mod binary;
mod error;
mod spawn;

use std::path::{Path, PathBuf};

use crate::machine::{BootFuture, Hypervisor, MachineConfig};

pub use error::Error;

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

    fn boot(&self, config: MachineConfig) -> BootFuture<'_> {
        Box::pin(async move { Ok(spawn::boot(&self.binary, config).await?) })
    }
}
