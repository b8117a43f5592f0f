//! Faults, bulk installation and removal, against each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use memory::{InstallError, Installer, Lazy, Policy, Prefetch, Reap, Resident, Run};

use crate::guest::{Guest, serve, wait, within};
use crate::snapshot::{SNAPSHOT, Snapshot, content};

/// Installs a run when it is told to.
struct WhenTold {
    go: Mutex<mpsc::Receiver<()>>,
    run: Run,
}

impl WhenTold {
    fn new(run: Run) -> (Self, mpsc::Sender<()>) {
        let (sender, receiver) = mpsc::channel();
        let go = Mutex::new(receiver);
        (Self { go, run }, sender)
    }
}

impl Policy for WhenTold {
    fn name(&self) -> &'static str {
        "when-told"
    }

    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        self.go.lock().unwrap().recv().unwrap();
        let bytes: Vec<u8> = self.run.range().flat_map(content).collect();
        installer.copy(self.run, &bytes)
    }

    fn brings(&self, page: u64) -> bool {
        self.run.range().contains(&page)
    }
}

#[test]
fn a_fault_is_answered_before_anything_was_installed_in_bulk() {
    let snapshot = Snapshot::new(256);
    let (policy, go) = WhenTold::new(Run {
        first: 0,
        pages: 256,
    });
    let served = serve(&snapshot.memory, policy);
    let guest = Guest::new(&[256]);
    guest.connect(&served.socket);

    let reader = Arc::clone(&guest);
    within(move || {
        assert!(reader.read(100) == content(100));
        reader.write(101, 0x77);
        reader.write(200, 0x78);
    });
    assert_eq!(served.server.stats().faults, 3);
    assert_eq!(served.server.stats().bulk_pages, 0);

    // What is there stays, whatever the guest made of it; the copy goes on behind it.
    go.send(()).unwrap();
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    let stats = served.server.stats();
    assert_eq!((stats.bulk_pages, stats.already_there), (253, 3));
    within(move || {
        for page in 0..256 {
            let mut expected = content(page);
            match page {
                101 => expected[0] = 0x77,
                200 => expected[0] = 0x78,
                _ => {}
            }
            assert!(guest.read(page) == expected, "page {page}");
        }
    });
    let stats = served.server.stats();
    assert_eq!((stats.faults, stats.misses), (3, 0));
}

#[test]
fn a_page_that_was_given_back_is_zero_from_then_on() {
    let snapshot = Snapshot::new(256);
    let served = serve(&snapshot.memory, Lazy);
    let guest = Guest::new(&[100, 156]);
    guest.connect(&served.socket);
    within(move || {
        // Before it was ever touched, and after; in the one region and in the other.
        guest.remove(5);
        assert!(guest.read(5) == [0; 4096]);
        assert!(guest.read(150) == content(150));
        guest.remove(150);
        assert!(guest.read(150) == [0; 4096]);
        guest.write(150, 9);
        guest.remove(150);
        guest.write(150, 8);
        assert_eq!(guest.read(150)[..2], [8, 0]);
        // Its neighbours are as they were.
        for page in [4, 6, 149, 151] {
            assert!(guest.read(page) == content(page), "page {page}");
        }
    });
    assert_eq!(served.server.stats().removed_pages, 2);
}

#[test]
fn bulk_installation_leaves_out_what_was_given_back() {
    let snapshot = Snapshot::new(256);
    let (policy, go) = WhenTold::new(Run {
        first: 0,
        pages: 256,
    });
    let served = serve(&snapshot.memory, policy);
    let guest = Guest::new(&[256]);
    guest.connect(&served.socket);
    let balloon = Arc::clone(&guest);
    within(move || {
        for page in [0, 10, 11, 255] {
            balloon.remove(page);
        }
    });
    go.send(()).unwrap();
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    assert_eq!(served.server.stats().bulk_pages, 252);
    within(move || {
        for page in 0..256 {
            let expected = match page {
                0 | 10 | 11 | 255 => vec![0; 4096],
                _ => content(page),
            };
            assert!(guest.read(page) == expected, "page {page}");
        }
    });
}

/// Threads touch all pages, each in an order of its own, while the set is installed by others.
fn touched_by_many(pages: u64, policy: impl FnOnce(&Snapshot) -> Box<dyn Policy>) {
    let snapshot = Snapshot::new(pages);
    let policy = policy(&snapshot);
    let served = serve(&snapshot.memory, Shared(policy));
    let guest = Guest::new(&[pages]);
    guest.connect(&served.socket);
    let reader = Arc::clone(&guest);
    within(move || {
        std::thread::scope(|scope| {
            for seed in 0..6 {
                let guest = &reader;
                scope.spawn(move || {
                    let mut order: Vec<u64> = (0..pages).collect();
                    fastrand::Rng::with_seed(seed).shuffle(&mut order);
                    for page in order {
                        assert!(guest.read(page) == content(page), "page {page}");
                    }
                });
            }
        });
    });
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    let stats = served.stopped();
    // Each page was installed once, by whoever was first.
    let once =
        stats.demand_pages + stats.demand_zero_pages + stats.bulk_pages + stats.bulk_zero_pages;
    assert_eq!(once, pages, "{stats:?}");
}

struct Shared(Box<dyn Policy>);

impl Policy for Shared {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        self.0.install(installer)
    }

    fn brings(&self, page: u64) -> bool {
        self.0.brings(page)
    }
}

#[test]
fn many_threads_fault_at_once() {
    touched_by_many(2048, |_| Box::new(Lazy));
}

#[test]
fn many_threads_fault_while_all_is_installed_from_the_file() {
    touched_by_many(4096, |_| Box::new(Resident));
}

#[test]
fn many_threads_fault_while_the_working_set_is_installed() {
    for threads in [1, 3] {
        touched_by_many(4096, |snapshot| {
            snapshot.record(&[(0, 3000), (3001, 2), (3500, 596)]);
            let prefetch = Prefetch::start(&snapshot.working_set(), &SNAPSHOT).unwrap();
            Box::new(Reap::new(prefetch, threads))
        });
    }
}

/// Installs everything, over and over, until the balloon is done.
struct OverAndOver {
    content: Vec<u8>,
    done: Arc<AtomicBool>,
}

impl Policy for OverAndOver {
    fn name(&self) -> &'static str {
        "over-and-over"
    }

    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        let pages = self.content.len() as u64 / 4096;
        while !self.done.load(Ordering::Acquire) {
            for first in (0..pages).step_by(4) {
                let content = &self.content[first as usize * 4096..][..4 * 4096];
                installer.copy(Run { first, pages: 4 }, content)?;
            }
        }
        Ok(())
    }

    fn brings(&self, _page: u64) -> bool {
        true
    }
}

#[test]
fn pages_given_back_during_bulk_installation_stay_zero() {
    const PAGES: u64 = 512;
    let snapshot = Snapshot::new(PAGES);
    let done = Arc::new(AtomicBool::new(false));
    let policy = OverAndOver {
        // Were a page put back, it would not be zero.
        content: vec![0x11; PAGES as usize * 4096],
        done: Arc::clone(&done),
    };
    let served = serve(&snapshot.memory, policy);
    let guest = Guest::new(&[PAGES]);
    guest.connect(&served.socket);
    let balloon = Arc::clone(&guest);
    within(move || {
        std::thread::scope(|scope| {
            for seed in 0..2 {
                let guest = &balloon;
                scope.spawn(move || {
                    let mut order: Vec<u64> = (seed..PAGES).step_by(2).collect();
                    fastrand::Rng::with_seed(seed).shuffle(&mut order);
                    for page in order {
                        guest.remove(page);
                    }
                });
            }
        });
    });
    done.store(true, Ordering::Release);
    assert!(wait(served.server.installed()).unwrap().error.is_none());
    within(move || {
        for page in 0..PAGES {
            assert!(guest.read(page) == [0; 4096], "page {page}");
        }
    });
    assert_eq!(served.server.stats().removed_pages, PAGES);
}
