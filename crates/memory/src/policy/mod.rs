//! How pages arrive.

mod lazy;
mod paper;
mod reap;
mod resident;

pub use lazy::Lazy;
pub use paper::Paper;
pub use reap::Reap;
pub use resident::Resident;

use crate::installer::{InstallError, Installer};
use crate::layout::PageSize;
use crate::working_set::Header;

/// What is done for a guest beside answering its faults, which every server does.
pub trait Policy: Send + Sync {
    /// Its name, for logs and reports.
    fn name(&self) -> &'static str;

    /// Installs in bulk. It runs once, on a thread of its own, from the handshake on; faults are answered meanwhile.
    fn install(&self, installer: &Installer) -> Result<(), InstallError>;

    /// Whether `page` is one that [`install`](Self::install) brings: a fault on any other is a miss.
    fn brings(&self, page: u64) -> bool;
}

/// Refuses the working set of a guest with other memory.
fn fits(header: &Header, installer: &Installer) -> Result<(), InstallError> {
    let layout = installer.layout();
    let (theirs, ours): (PageSize, PageSize) = (header.page_size(), layout.page_size());
    if theirs != ours || header.memory_pages() != layout.pages() {
        return Err(InstallError::OtherMemory {
            theirs: header.memory_pages(),
            their_size: theirs.bytes(),
            ours: layout.pages(),
            our_size: ours.bytes(),
        });
    }
    Ok(())
}
