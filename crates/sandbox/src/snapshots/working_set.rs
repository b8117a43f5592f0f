//! What is known of a snapshot's working set: its header, who records it, and how well it serves.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memory::Stats;
use memory::working_set::{Binding, Header, Reader};
use tracing::{info, warn};

use crate::chain;

/// The working set of one snapshot.
#[derive(Debug, Default)]
pub(super) struct WorkingSet {
    header: Mutex<Known>,
    recording: AtomicBool,
    /// Guests that were given it in bulk, since it was recorded or the node started.
    pub(super) uses: AtomicU64,
    /// Pages that it brought them.
    pub(super) hits: AtomicU64,
    /// Pages that they needed beyond it.
    pub(super) misses: AtomicU64,
}

#[derive(Debug, Default)]
enum Known {
    #[default]
    NotLookedAt,
    Missing,
    There(Arc<Header>),
}

impl WorkingSet {
    /// The header, read at first. `None` if there is no file; one that cannot be used is removed.
    pub(super) fn header(&self, path: &Path, binding: &Binding) -> Option<Arc<Header>> {
        let mut known = self.known();
        if let Known::NotLookedAt = *known {
            *known = match look(path, binding) {
                Some(header) => Known::There(Arc::new(header)),
                None => Known::Missing,
            };
        }
        match &*known {
            Known::There(header) => Some(header.clone()),
            Known::NotLookedAt | Known::Missing => None,
        }
    }

    /// True for the one guest that is to record it.
    pub(super) fn begin_recording(&self) -> bool {
        !self.recording.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_recording(&self) {
        self.recording.store(false, Ordering::Release);
    }

    /// There is a new file.
    pub(super) fn renew(&self) {
        *self.known() = Known::NotLookedAt;
        for counter in [&self.uses, &self.hits, &self.misses] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Removes it, so that it is recorded again.
    pub(super) fn forget(&self, path: &Path) {
        let mut known = self.known();
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(%error, path = %path.display(), "cannot remove a working set");
        }
        *known = Known::Missing;
    }

    /// Counts what one guest was served; says whether the set no longer is what guests use.
    pub(super) fn count(&self, stats: &Stats) -> bool {
        let brought = stats.bulk_pages + stats.bulk_zero_pages;
        if brought == 0 {
            return false;
        }
        self.uses.fetch_add(1, Ordering::Relaxed);
        self.hits.fetch_add(brought, Ordering::Relaxed);
        self.misses.fetch_add(stats.misses, Ordering::Relaxed);
        let outgrown = memory::should_record_again(brought, stats.misses);
        if outgrown {
            info!(brought, misses = stats.misses, "a working set is outgrown");
        }
        outgrown
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.header.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(path: &Path, binding: &Binding) -> Option<Header> {
    if !path.exists() {
        return None;
    }
    match Reader::open(path, binding) {
        Ok(reader) => Some(reader.header().clone()),
        Err(error) => {
            let error = chain(&error);
            warn!(error, "a working set cannot be used, and is recorded again");
            let _ = std::fs::remove_file(path);
            None
        }
    }
}
