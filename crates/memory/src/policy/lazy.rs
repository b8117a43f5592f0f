//! One page per fault. It is also how a working set is recorded: what was faulted is what was used.

use super::Policy;
use crate::installer::{InstallError, Installer};

/// Nothing beside the faults.
#[derive(Debug, Clone, Copy)]
pub struct Lazy;

impl Policy for Lazy {
    fn name(&self) -> &'static str {
        "lazy"
    }

    fn install(&self, _installer: &Installer) -> Result<(), InstallError> {
        Ok(())
    }

    fn brings(&self, _page: u64) -> bool {
        false
    }
}
