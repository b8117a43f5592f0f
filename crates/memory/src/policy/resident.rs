//! All of memory beforehand: what a restore costs when no page is ever missing. For benchmarks.

use super::Policy;
use crate::installer::{InstallError, Installer};
use crate::page_set::{PageSet, Run};

/// Installs every page. The guest must not be resumed before [`crate::Server::installed`].
#[derive(Debug, Clone, Copy)]
pub struct Resident;

impl Policy for Resident {
    fn name(&self) -> &'static str {
        "resident"
    }

    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        let layout = installer.layout();
        let size = layout.page_size().bytes();
        let mut data = PageSet::new(layout.pages());
        for run in installer.memory().data().runs() {
            let bytes = run.first * 4096..run.range().end * 4096;
            data.insert_range(bytes.start / size..bytes.end.div_ceil(size));
        }
        let mut zero_from = 0;
        for run in data.runs() {
            zero(installer, zero_from..run.first)?;
            installer.copy_from_file(run)?;
            zero_from = run.range().end;
        }
        zero(installer, zero_from..layout.pages())
    }

    fn brings(&self, _page: u64) -> bool {
        true
    }
}

fn zero(installer: &Installer, pages: std::ops::Range<u64>) -> Result<(), InstallError> {
    if pages.is_empty() {
        return Ok(());
    }
    installer.zero(Run {
        first: pages.start,
        pages: pages.end - pages.start,
    })
}
