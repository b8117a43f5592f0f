//! Pages of 2 MiB.

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memory::{Lazy, Prefetch, Reap, Resident};
use sys::mapping::PageSize;

use crate::guest::{Guest, serve, wait, within};
use crate::snapshot::{SNAPSHOT, Snapshot, content, is_zero};

const PAGES: u64 = 8;
const HUGE: u64 = 2 << 20;

/// The host's pool of huge pages, for one test at a time; as it was afterwards.
struct Pool {
    before: String,
    _turn: MutexGuard<'static, ()>,
}

const SETTING: &str = "/proc/sys/vm/nr_hugepages";
static TURN: Mutex<()> = Mutex::new(());

impl Pool {
    fn reserve(pages: u64) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = fs::read_to_string(SETTING).unwrap();
        let wanted = before.trim().parse::<u64>().unwrap() + pages;
        fs::write(SETTING, wanted.to_string()).expect(
            "run the tests as root, or reserve huge pages through /proc/sys/vm/nr_hugepages",
        );
        let this = Self {
            before,
            _turn: turn,
        };
        let now = fs::read_to_string(SETTING).unwrap();
        assert_eq!(
            now.trim().parse(),
            Ok(wanted),
            "the host has no {wanted} contiguous pieces of 2 MiB; free some memory (`sync; echo 1 > /proc/sys/vm/compact_memory`)"
        );
        this
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = fs::write(SETTING, &self.before);
    }
}

#[test]
fn huge_pages_are_brought_one_by_one() {
    let _pool = Pool::reserve(PAGES);
    let snapshot = Snapshot::with(PAGES, HUGE);
    let served = serve(&snapshot.memory, Lazy);
    let guest = Guest::with(&[3, 5], PageSize::Huge);
    guest.connect(&served.socket);
    let peer = wait(served.server.connected()).unwrap();
    assert_eq!(peer.layout.page_size(), memory::PageSize::Huge);
    within(move || {
        guest.remove(6);
        for page in 0..PAGES {
            let expected = if page == 6 {
                vec![0; 4096]
            } else {
                content(page)
            };
            assert!(guest.read(page) == expected, "page {page}");
        }
    });
    let stats = served.stopped();
    assert_eq!(stats.faults, PAGES);
    // Two holes, and the page that was given back.
    assert_eq!((stats.demand_zero_pages, stats.removed_pages), (3, 1));
}

#[test]
fn huge_pages_are_brought_in_bulk() {
    let _pool = Pool::reserve(PAGES);
    let snapshot = Snapshot::with(PAGES, HUGE);
    let stored = snapshot.record(&[(1, 5), (7, 1)]);
    let data = (1..6).filter(|page| !is_zero(*page)).count() as u64;
    assert_eq!((stored.data_pages, stored.zero_pages), (data, 6 - data));
    let prefetch = Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap();
    let served = serve(&snapshot.memory, Reap::new(prefetch, 2));
    let guest = Guest::with(&[PAGES], PageSize::Huge);
    guest.connect(&served.socket);
    let installed = wait(served.server.installed()).unwrap();
    assert!(installed.error.is_none(), "{installed:?}");
    within(move || {
        for page in 1..6 {
            assert!(guest.read(page) == content(page), "page {page}");
        }
        assert!(guest.read(7) == content(7));
    });
    let stats = served.server.stats();
    assert_eq!((stats.faults, stats.bulk_bytes), (0, data * HUGE));
}

#[test]
fn all_huge_pages_are_brought_beforehand() {
    let _pool = Pool::reserve(PAGES);
    let snapshot = Snapshot::with(PAGES, HUGE);
    let served = serve(&snapshot.memory, Resident);
    let guest: Arc<Guest> = Guest::with(&[PAGES], PageSize::Huge);
    guest.connect(&served.socket);
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    within(move || {
        for page in 0..PAGES {
            assert!(guest.read(page) == content(page), "page {page}");
        }
    });
    assert_eq!(served.server.stats().faults, 0);
}
