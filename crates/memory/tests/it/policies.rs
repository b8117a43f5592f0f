//! What each policy brings, and when.

use std::sync::Arc;

use memory::{Lazy, Outcome, Paper, Policy, Prefetch, Reap, Resident, Server};

use crate::guest::{Guest, Served, serve, wait, within};
use crate::snapshot::{SNAPSHOT, Snapshot, content, data_pages, is_zero};

/// Three runs, of which the last goes over the border of the regions.
const RUNS: [(u64, u64); 3] = [(0, 10), (100, 300), (500, 100)];

fn in_runs() -> impl Iterator<Item = u64> {
    RUNS.into_iter()
        .flat_map(|(first, pages)| first..first + pages)
}

/// A guest of 1024 pages in two regions, connected.
fn start(snapshot: &Snapshot, policy: impl Policy + 'static) -> (Served, Arc<Guest>) {
    let served = serve(&snapshot.memory, policy);
    let guest = Guest::new(&[550, 474]);
    guest.connect(&served.socket);
    (served, guest)
}

fn reap(snapshot: &Snapshot, threads: usize) -> Reap {
    Reap::new(
        Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap(),
        threads,
    )
}

/// Reads pages in the guest and compares them with the snapshot.
fn check(guest: &Arc<Guest>, pages: impl IntoIterator<Item = u64> + Send + 'static) {
    let guest = Arc::clone(guest);
    within(move || {
        for page in pages {
            assert!(guest.read(page) == content(page), "page {page}");
        }
    });
}

fn stop(server: Server) {
    server.stop();
    assert!(matches!(server.join(), Outcome::Stopped));
}

#[test]
fn lazy_brings_each_page_when_it_is_touched() {
    let snapshot = Snapshot::new(1024);
    let (served, guest) = start(&snapshot, Lazy);
    let peer = wait(served.server.connected()).unwrap();
    assert_eq!(peer.pid, std::process::id());
    assert_eq!(peer.layout.regions().len(), 2);
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    assert_eq!(served.server.stats().bulk_pages, 0);

    check(&guest, in_runs());
    assert_eq!(served.server.faulted(), snapshot.set(&RUNS));
    let stats = served.stopped();
    assert_eq!((stats.faults, stats.misses), (410, 410));
    // A page that was written with zeros is copied like any other; one in a hole is not.
    let holes = in_runs().filter(|page| page % 4 == 3).count() as u64;
    assert_eq!(stats.demand_zero_pages, holes);
    assert_eq!(stats.demand_pages, 410 - holes);
}

#[test]
fn what_the_first_restore_faulted_the_next_has_before_it_asks() {
    let snapshot = Snapshot::new(1024);
    let (first, guest) = start(&snapshot, Lazy);
    check(&guest, in_runs());
    let stored = memory::working_set::write(
        &snapshot.working_set(),
        &SNAPSHOT,
        &first.server.faulted(),
        &snapshot.memory,
    )
    .unwrap();
    assert_eq!(stored.data_pages, data_pages(in_runs()));
    assert_eq!(stored.zero_pages, 410 - stored.data_pages);
    stop(first.server);

    for threads in [1, 3] {
        let (second, guest) = start(&snapshot, reap(&snapshot, threads));
        let installed = wait(second.server.installed()).unwrap();
        assert!(installed.error.is_none(), "{installed:?}");
        check(&guest, in_runs());
        let stats = second.server.stats();
        assert_eq!(stats.faults, 0, "{stats:?}");
        assert_eq!(stats.bulk_pages, stored.data_pages);
        assert_eq!(stats.bulk_bytes, stored.data_pages * 4096);
        assert_eq!(stats.bulk_zero_pages, stored.zero_pages);

        // What is outside of the set is a miss.
        check(&guest, 50..60);
        let stats = second.server.stats();
        assert_eq!((stats.faults, stats.misses), (10, 10));
        assert_eq!(second.server.faulted(), snapshot.set(&[(50, 10)]));
        stop(second.server);
    }
}

#[test]
fn the_paper_s_way_brings_the_same_pages() {
    let snapshot = Snapshot::new(1024);
    let stored = snapshot.record(&RUNS);
    let (served, guest) = start(
        &snapshot,
        Paper::open(&snapshot.working_set(), &SNAPSHOT).unwrap(),
    );
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    check(&guest, in_runs());
    let stats = served.server.stats();
    assert_eq!((stats.faults, stats.bulk_pages), (0, stored.data_pages));
    stop(served.server);
}

#[test]
fn resident_leaves_nothing_to_ask_for() {
    let snapshot = Snapshot::new(1024);
    let (served, guest) = start(&snapshot, Resident);
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    check(&guest, 0..1024);
    let stats = served.server.stats();
    assert_eq!(stats.faults, 0);
    assert_eq!(stats.bulk_pages + stats.bulk_zero_pages, 1024);
    stop(served.server);
}

#[test]
fn an_empty_working_set_brings_nothing() {
    let snapshot = Snapshot::new(1024);
    assert_eq!(snapshot.record(&[]).bytes, 4096);
    for policy in [
        Box::new(reap(&snapshot, 1)) as Box<dyn Policy>,
        Box::new(Paper::open(&snapshot.working_set(), &SNAPSHOT).unwrap()),
    ] {
        let (served, guest) = start(&snapshot, Boxed(policy));
        assert!(wait(served.server.installed()).unwrap().error.is_none());
        check(&guest, 0..10);
        assert_eq!(served.server.stats().misses, 10);
        stop(served.server);
    }
}

struct Boxed(Box<dyn Policy>);

impl Policy for Boxed {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn install(&self, installer: &memory::Installer) -> Result<(), memory::InstallError> {
        self.0.install(installer)
    }

    fn brings(&self, page: u64) -> bool {
        self.0.brings(page)
    }
}

#[test]
fn a_working_set_that_is_changed_on_disk_is_left_to_faults() {
    use std::os::unix::fs::FileExt;

    let snapshot = Snapshot::new(1024);
    snapshot.record(&RUNS);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(snapshot.working_set())
        .unwrap();
    file.write_all_at(b"rot", 4096 + 100).unwrap();
    file.sync_all().unwrap();

    let (served, guest) = start(&snapshot, reap(&snapshot, 2));
    let error = wait(served.server.installed()).unwrap().error.unwrap();
    let cause = std::error::Error::source(&*error).unwrap().to_string();
    assert!(cause.starts_with("chunk 0 of the working set"), "{cause}");
    check(&guest, 0..1024);
    stop(served.server);
}

#[test]
fn a_working_set_of_a_guest_with_other_memory_is_left_to_faults() {
    let small = Snapshot::new(512);
    small.record(&[(0, 10)]);
    let snapshot = Snapshot::new(1024);
    let (served, guest) = start(&snapshot, reap(&small, 1));
    let error = wait(served.server.installed()).unwrap().error.unwrap();
    assert_eq!(
        error.to_string(),
        "the working set is of 512 pages of 4096 bytes, the guest has 1024 of 4096; record it again"
    );
    check(&guest, 0..20);
    stop(served.server);
}

#[test]
fn guests_write_to_pages_of_every_kind_and_the_snapshot_stays_as_it_is() {
    let snapshot = Snapshot::new(1024);
    snapshot.record(&RUNS);
    let before = std::fs::read(snapshot.memory_path()).unwrap();
    let (served, guest) = start(&snapshot, reap(&snapshot, 1));
    let writer = Arc::clone(&guest);
    within(move || {
        for page in 0..1024 {
            writer.write(page, 0xab);
        }
    });
    let reader = Arc::clone(&guest);
    within(move || {
        for page in 0..1024 {
            let mut expected = content(page);
            expected[0] = 0xab;
            assert!(reader.read(page) == expected, "page {page}");
        }
    });
    assert!(before == std::fs::read(snapshot.memory_path()).unwrap());
    stop(served.server);
}

#[test]
fn one_snapshot_serves_many_guests_at_once() {
    let snapshot = Snapshot::new(1024);
    snapshot.record(&RUNS);
    let guests: Vec<_> = (0..8)
        .map(|_| start(&snapshot, reap(&snapshot, 1)))
        .collect();
    for (_, guest) in &guests {
        check(guest, 0..1024);
    }
    for (served, _) in guests {
        assert!(served.server.stats().misses > 0);
        stop(served.server);
    }
}

#[test]
fn the_snapshot_s_zero_pages_are_told_from_the_others() {
    // What the other tests rely on.
    let snapshot = Snapshot::new(1024);
    assert_eq!(snapshot.bytes(), 1024 * 4096);
    assert!(is_zero(3) && is_zero(4) && !is_zero(5));
    assert!(snapshot.memory.data().contains(4) && !snapshot.memory.data().contains(3));
}
