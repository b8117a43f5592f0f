//! The memory that all guests together may be promised: as much as the machine has. More instances than that are not started
//! until others have ended, or the machine would thrash and the node with it.

use std::fs;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

/// What is left of it, in MiB. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Budget {
    left: Arc<Semaphore>,
    all_mib: u32,
}

/// A guest's share, given back when this is dropped.
pub(crate) type Share = OwnedSemaphorePermit;

impl Budget {
    /// All of this machine's memory.
    pub(crate) fn of_host() -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let all_mib = total_mib(&meminfo).unwrap_or_else(|| {
            warn!("the kernel does not say how much memory there is: guests are not limited by it");
            u32::MAX
        });
        Self {
            left: Arc::new(Semaphore::new(
                (all_mib as usize).min(Semaphore::MAX_PERMITS),
            )),
            all_mib,
        }
    }

    /// The share of a guest of so much memory, if there is as much left.
    pub(crate) fn take(&self, memory_mib: u32) -> Option<Share> {
        // One that is larger than the machine is tried when it is alone.
        let share = memory_mib.min(self.all_mib);
        self.left.clone().try_acquire_many_owned(share).ok()
    }
}

/// `MemTotal` of `/proc/meminfo`.
fn total_mib(meminfo: &str) -> Option<u32> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        let meminfo = "MemTotal:       24689288 kB\nMemFree:        1 kB\n";
        assert_eq!(total_mib(meminfo), Some(24_110));
        assert_eq!(total_mib("nonsense"), None);
    }

    #[test]
    fn guests_share_what_there_is_and_give_it_back() {
        let budget = Budget {
            left: Arc::new(Semaphore::new(512)),
            all_mib: 512,
        };
        let first = budget.take(256);
        assert!(first.is_some() && budget.take(512).is_none());
        drop(first);
        // Larger than the machine, but alone.
        assert!(budget.take(1024).is_some());
    }
}
