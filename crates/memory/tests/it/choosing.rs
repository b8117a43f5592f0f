//! What `auto` sees of the page cache.

use memory::{Choice, Costs, MemoryFile, Prefetch, Residency, choose};

use crate::snapshot::{SNAPSHOT, Snapshot};

const RUNS: [(u64, u64); 2] = [(0, 100), (300, 500)];

fn look(snapshot: &Snapshot) -> Residency {
    let prefetch = Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap();
    // As the one of a later process: no page of it is mapped.
    let memory = MemoryFile::open(&snapshot.memory_path()).unwrap();
    Residency::measure(&memory, prefetch.header(), &snapshot.working_set()).unwrap()
}

#[test]
fn a_snapshot_in_the_page_cache_is_mapped_and_one_on_the_disk_brought_in_bulk() {
    let snapshot = Snapshot::new(1024);
    let stored = snapshot.record(&RUNS);
    let warm = look(&snapshot);
    assert_eq!(
        warm,
        Residency {
            pages: stored.data_pages,
            cached: stored.data_pages,
            set_cached: true
        }
    );
    assert_eq!(
        choose(Some(&warm), &Costs::default()),
        Choice::PrivateMapping { read_ahead: false }
    );

    sys::page_cache::evict(snapshot.memory.file()).unwrap();
    sys::page_cache::evict(std::fs::File::open(snapshot.working_set()).unwrap()).unwrap();
    let cold = look(&snapshot);
    assert_eq!((cold.cached, cold.set_cached), (0, false));
    assert_eq!(choose(Some(&cold), &Costs::default()), Choice::Bulk);
}

#[test]
fn what_is_read_of_the_set_counts_and_what_is_read_beside_it_does_not() {
    use std::os::unix::fs::FileExt;

    let snapshot = Snapshot::new(1024);
    snapshot.record(&RUNS);
    sys::page_cache::evict(snapshot.memory.file()).unwrap();
    // Without reading ahead, only what is asked for comes.
    let file = std::fs::File::open(snapshot.memory_path()).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    file.read_exact_at(&mut [0; 4096], 1000 * 4096).unwrap();
    assert_eq!(look(&snapshot).cached, 0);
    file.read_exact_at(&mut [0; 4096], 400 * 4096).unwrap();
    assert_eq!(look(&snapshot).cached, 1);
}
