//! The working set as the paper does it: one direct read, then the installation, nothing overlapped.

use super::{Policy, fits};
use crate::installer::{InstallError, Installer};
use crate::page_set::PageSet;
use crate::working_set::Reader;

/// The baseline of benchmarks. The guest must not be resumed before [`crate::Server::installed`].
#[derive(Debug)]
pub struct Paper {
    reader: Reader,
    pages: PageSet,
}

impl Paper {
    /// Opens the working set of the snapshot `binding`; nothing of its content is read before the handshake.
    pub fn open(
        path: &std::path::Path,
        binding: &crate::working_set::Binding,
    ) -> Result<Self, crate::working_set::ReadError> {
        let reader = Reader::open(path, binding)?;
        Ok(Self {
            pages: reader.header().pages(),
            reader,
        })
    }
}

impl Policy for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        let header = self.reader.header();
        fits(header, installer)?;
        let content = self.reader.read_all()?;
        let mut rest = content.as_deref().unwrap_or_default();
        for run in header.data_runs() {
            let (here, after) = rest.split_at((run.pages * header.page_size().bytes()) as usize);
            installer.copy(*run, here)?;
            rest = after;
        }
        header
            .zero_runs()
            .iter()
            .try_for_each(|run| installer.zero(*run))
    }

    fn brings(&self, page: u64) -> bool {
        self.pages.contains(page)
    }
}
