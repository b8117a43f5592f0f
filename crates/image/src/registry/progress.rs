use std::sync::atomic::{AtomicU64, Ordering};

/// How far a pull or a push is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are where they should be, those that were there before included.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Adds up the progress of several blobs.
pub(super) struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    report: &'a (dyn Fn(Progress) + Send + Sync),
}

impl<'a> Meter<'a> {
    pub(super) fn new(total: u64, report: &'a (dyn Fn(Progress) + Send + Sync)) -> Self {
        Self {
            done: AtomicU64::new(0),
            total,
            report,
        }
    }

    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.report)(Progress {
            done,
            total: self.total,
        });
    }

    /// Begins to count a blob.
    pub(super) fn blob(&self) -> BlobMeter<'_> {
        BlobMeter {
            meter: self,
            counted: AtomicU64::new(0),
        }
    }
}

/// The part of one blob.
pub(super) struct BlobMeter<'a> {
    meter: &'a Meter<'a>,
    counted: AtomicU64,
}

impl BlobMeter<'_> {
    pub(super) fn add(&self, bytes: u64) {
        self.counted.fetch_add(bytes, Ordering::Relaxed);
        self.meter.add(bytes);
    }

    /// Takes back what an attempt that failed has counted.
    pub(super) fn restart(&self) {
        let counted = self.counted.swap(0, Ordering::Relaxed);
        self.meter.done.fetch_sub(counted, Ordering::Relaxed);
    }
}
