//! What a server counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::installer::Installer;

/// Counts of one guest's pages. Those of a guest that is being served still grow.
///
/// How many pages of a working set the guest used is not among them: after a bulk installation nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Faults taken, those on pages of the working set that had not come yet included. A page may have several.
    pub faults: u64,
    /// Faults on pages that the policy does not bring. For one that brings nothing these are all.
    pub misses: u64,
    /// Pages with content installed for a fault.
    pub demand_pages: u64,
    /// Zero pages installed for a fault.
    pub demand_zero_pages: u64,
    /// Pages with content installed in bulk.
    pub bulk_pages: u64,
    /// Bytes of these.
    pub bulk_bytes: u64,
    /// Zero pages installed in bulk.
    pub bulk_zero_pages: u64,
    /// Pages found there already, because somebody was faster.
    pub already_there: u64,
    /// Attempts that had to be made again because the hypervisor's memory was changing.
    pub again: u64,
    /// Pages that the guest gave back.
    pub removed_pages: u64,
    /// From the connection to the end of the handshake.
    pub handshake: Duration,
    /// From the end of the handshake to the first fault answered; zero if there was none.
    pub first_fault: Duration,
}

/// What the thread that answers faults counts itself.
#[derive(Debug, Default)]
pub(super) struct FaultCounters {
    pub(super) faults: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) handshake_ns: AtomicU64,
    pub(super) first_fault_ns: AtomicU64,
}

impl FaultCounters {
    pub(super) fn stats(&self, installer: Option<&Installer>) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let own = Stats {
            faults: load(&self.faults),
            misses: load(&self.misses),
            handshake: Duration::from_nanos(load(&self.handshake_ns)),
            first_fault: Duration::from_nanos(load(&self.first_fault_ns)),
            ..Stats::default()
        };
        let Some(installer) = installer else {
            return own;
        };
        let counters = &installer.counters;
        let bulk_pages = load(&counters.bulk_pages);
        Stats {
            demand_pages: load(&counters.demand_pages),
            demand_zero_pages: load(&counters.demand_zero_pages),
            bulk_pages,
            bulk_bytes: bulk_pages * installer.layout().page_size().bytes(),
            bulk_zero_pages: load(&counters.bulk_zero_pages),
            already_there: load(&counters.existed),
            again: load(&counters.again),
            removed_pages: installer.removed_pages(),
            ..own
        }
    }
}
