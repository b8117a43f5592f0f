//! Threads on one processor.

use rustix::io;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Keeps this thread, and those it starts meanwhile, on one processor.
pub(super) struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// On the one that this thread is on.
    pub(super) fn here() -> io::Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        sched_setaffinity(None, &here)?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = sched_setaffinity(None, &self.before);
    }
}
