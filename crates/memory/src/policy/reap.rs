//! The working set in bulk, as it arrives from the disk, while the guest already runs.
//!
//! After REAP (Ustiugov et al., ASPLOS 2021), which reads all of it, installs all of it, and then resumes.

use std::thread;

use super::{Policy, fits};
use crate::installer::{InstallError, Installer};
use crate::page_set::PageSet;
use crate::prefetch::Prefetch;

/// Installs the working set that is being read.
#[derive(Debug)]
pub struct Reap {
    prefetch: Prefetch,
    pages: PageSet,
    threads: usize,
}

impl Reap {
    /// Installs what `prefetch` reads on so many threads, at least one.
    pub fn new(prefetch: Prefetch, threads: usize) -> Self {
        Self {
            pages: prefetch.header().pages(),
            prefetch,
            threads: threads.max(1),
        }
    }

    fn install_chunks(&self, installer: &Installer) -> Result<(), InstallError> {
        while let Some(chunk) = self.prefetch.next() {
            let chunk = chunk?;
            for (run, content) in chunk.pieces() {
                installer.copy(run, content)?;
            }
            self.prefetch.recycle(chunk);
        }
        Ok(())
    }
}

impl Policy for Reap {
    fn name(&self) -> &'static str {
        "reap"
    }

    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        fits(self.prefetch.header(), installer)?;
        let result = thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads)
                .map(|_| scope.spawn(|| self.install_chunks(installer)))
                .collect();
            // Zero pages need no content: they are installed while the first is on its way.
            let zeroed = self
                .prefetch
                .header()
                .zero_runs()
                .iter()
                .try_for_each(|run| installer.zero(*run));
            let mut result = zeroed.and_then(|()| self.install_chunks(installer));
            for other in others {
                // A panic is passed on, as the scope would.
                let other = other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(other);
            }
            result
        });
        self.prefetch.end();
        result
    }

    fn brings(&self, page: u64) -> bool {
        self.pages.contains(page)
    }
}
