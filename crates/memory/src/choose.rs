//! What `auto` does: a private mapping wins when the page cache is warm, bulk installation when it is cold.

use std::path::Path;

use sys::page_cache;

use crate::memory_file::MemoryFile;
use crate::working_set::Header;

/// Most runs of a working set that are looked up one by one.
const SAMPLES: usize = 512;

/// How a snapshot is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// There is no working set yet: serve page by page and record one.
    Record,
    /// Map the memory file privately; have what is missing of the working set read ahead (see [`read_ahead`]).
    PrivateMapping {
        /// Whether any of it is missing.
        read_ahead: bool,
    },
    /// Serve, and install the working set in bulk.
    Bulk,
}

/// What of a working set is in the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Residency {
    /// Pages of the set that have content. Those without cost the same either way.
    pub pages: u64,
    /// How many of them are cached as parts of the memory file; estimated from a sample if the runs are many.
    pub cached: u64,
    /// Whether the working-set file is cached as a whole.
    pub set_cached: bool,
}

/// What a page of 4 KiB costs, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Touched in a private mapping of a file in the page cache.
    pub map: u64,
    /// Read as one of many small runs of the memory file.
    pub scattered_read: u64,
    /// Read with its neighbours from the working-set file.
    pub sequential_read: u64,
    /// Copied into a guest in bulk.
    pub install: u64,
}

impl Default for Costs {
    /// As [`crate::measure`] found them on a virtual machine with a virtual disk, for runs of 8 pages that are only
    /// read.
    fn default() -> Self {
        Self {
            map: 450,
            scattered_read: 4_500,
            sequential_read: 3_700,
            install: 1_500,
        }
    }
}

/// The cheaper way to bring a working set in; without one there is something to record.
pub fn choose(set: Option<&Residency>, costs: &Costs) -> Choice {
    let Some(set) = set else {
        return Choice::Record;
    };
    let missing = set.pages.saturating_sub(set.cached);
    let mapped = set.pages * costs.map + missing * costs.scattered_read;
    // Reading and installing overlap: the slower of them counts.
    let read = if set.set_cached {
        0
    } else {
        costs.sequential_read
    };
    let bulk = set.pages * read.max(costs.install);
    if mapped <= bulk {
        Choice::PrivateMapping {
            read_ahead: missing > 0,
        }
    } else {
        Choice::Bulk
    }
}

/// Whether a working set no longer is what guests use. `hits` are pages that it brought (how many of them were used is not
/// known), `misses` faults on others.
///
/// A miss costs what some ten pages in bulk do, so that it takes few to lose what the set gains; but sets differ a little
/// from one invocation to the next, and recording costs one slow restore.
pub fn should_record_again(hits: u64, misses: u64) -> bool {
    const FEW: u64 = 128;
    misses > FEW.max(hits / 4)
}

impl Residency {
    /// Looks at the page cache for the working set `header` of `memory`, whose file is at `set`.
    pub fn measure(
        memory: &MemoryFile,
        header: &Header,
        set: &Path,
    ) -> Result<Self, page_cache::Error> {
        let pages = header.content_pages() * header.page_size().bytes() / 4096;
        Ok(Self {
            pages,
            cached: cached_of(memory, header, pages)?,
            set_cached: is_cached(set),
        })
    }
}

/// A file that cannot be asked counts as not cached.
fn is_cached(path: &Path) -> bool {
    let Ok(file) = std::fs::File::open(path) else {
        return false;
    };
    let Ok(bytes) = file.metadata().map(|metadata| metadata.len()) else {
        return false;
    };
    page_cache::cached_pages(&file, 0..bytes).is_ok_and(|pages| pages * 4096 >= bytes)
}

fn cached_of(memory: &MemoryFile, header: &Header, pages: u64) -> Result<u64, page_cache::Error> {
    // One question answers the two usual cases.
    let all = page_cache::cached_pages(memory.file(), 0..memory.bytes())?;
    if all == 0 {
        return Ok(0);
    }
    if all >= memory.data().len() {
        return Ok(pages);
    }
    let size = header.page_size().bytes();
    let runs = header.data_runs();
    let step = runs.len().div_ceil(SAMPLES).max(1);
    let (mut looked_at, mut cached) = (0, 0);
    for run in runs.iter().step_by(step) {
        let bytes = run.range().start * size..run.range().end * size;
        looked_at += (bytes.end - bytes.start) / 4096;
        cached += page_cache::cached_pages(memory.file(), bytes)?;
    }
    Ok((cached * pages).checked_div(looked_at).unwrap_or(0))
}

/// Starts reading the working set `header` of `memory` into the page cache; does not wait for it.
pub fn read_ahead(memory: &MemoryFile, header: &Header) -> Result<(), page_cache::Error> {
    let size = header.page_size().bytes();
    header.data_runs().iter().try_for_each(|run| {
        page_cache::read_ahead(
            memory.file(),
            run.range().start * size..run.range().end * size,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pages: u64, cached: u64, set_cached: bool) -> Choice {
        let set = Residency {
            pages,
            cached,
            set_cached,
        };
        choose(Some(&set), &Costs::default())
    }

    #[test]
    fn without_a_working_set_one_is_recorded() {
        assert_eq!(choose(None, &Costs::default()), Choice::Record);
    }

    #[test]
    fn a_warm_page_cache_is_mapped_and_a_cold_one_is_filled_in_bulk() {
        assert_eq!(
            of(16_000, 16_000, false),
            Choice::PrivateMapping { read_ahead: false }
        );
        assert_eq!(
            of(16_000, 16_000, true),
            Choice::PrivateMapping { read_ahead: false }
        );
        assert_eq!(of(16_000, 0, false), Choice::Bulk);
        assert_eq!(of(16_000, 4_000, false), Choice::Bulk);
    }

    #[test]
    fn missing_pages_are_read_ahead_unless_most_are() {
        assert_eq!(
            of(16_000, 8_000, false),
            Choice::PrivateMapping { read_ahead: true }
        );
        assert_eq!(
            of(16_000, 15_900, false),
            Choice::PrivateMapping { read_ahead: true }
        );
    }

    #[test]
    fn a_cached_working_set_file_speaks_for_bulk() {
        assert_eq!(of(16_000, 12_000, true), Choice::Bulk);
    }

    #[test]
    fn a_set_of_nothing_needs_no_server() {
        assert_eq!(
            of(0, 0, false),
            Choice::PrivateMapping { read_ahead: false }
        );
    }

    #[test]
    fn a_set_is_recorded_again_when_misses_outgrow_it() {
        assert!(!should_record_again(16_000, 4_000));
        assert!(should_record_again(16_000, 4_001));
        // Small sets miss a little more.
        assert!(!should_record_again(100, 128));
        assert!(should_record_again(0, 129));
    }

    proptest! {
        #[test]
        fn more_in_the_page_cache_never_speaks_for_bulk(
            pages in 1u64..100_000,
            cached in 0u64..100_000,
            more in 0u64..100_000,
        ) {
            let (cached, warmer) = (cached.min(pages), (cached + more).min(pages));
            if of(pages, cached, false) != Choice::Bulk {
                prop_assert_ne!(of(pages, warmer, false), Choice::Bulk);
            }
        }
    }
}
