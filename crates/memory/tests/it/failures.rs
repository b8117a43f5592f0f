//! Hypervisors that end, servers that fail, owners that stop.

use std::sync::Arc;

use memory::{InstallError, Installer, Lazy, Outcome, Policy, ServerError};
use sys::userfaultfd::Userfaultfd;

use crate::child::{self, Process};
use crate::guest::{Guest, serve, wait, within};
use crate::snapshot::{Snapshot, content};

const PAGES: u64 = 256;

/// Touches all pages, again and again.
fn play_guest(socket: &std::path::Path) -> ! {
    let guest = Guest::new(&[PAGES]);
    guest.connect(socket);
    loop {
        for page in 0..PAGES {
            guest.touch(page);
            guest.remove(page);
        }
    }
}

#[test]
fn the_end_of_the_hypervisor_ends_the_serving() {
    if let Some(socket) = child::socket() {
        play_guest(&socket);
    }
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Lazy);
    let process = Process::start(
        "failures::the_end_of_the_hypervisor_ends_the_serving",
        &served.socket,
    );
    let peer = wait(served.server.connected()).unwrap();
    assert_eq!(peer.pid, process.pid());
    assert!(process.kill());
    let outcome = wait(served.server.wait());
    assert!(matches!(outcome, Outcome::PeerEnded), "{outcome:?}");
}

/// Installs the same page until nobody is there.
struct Endless;
impl Policy for Endless {
    fn name(&self) -> &'static str {
        "endless"
    }
    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        loop {
            installer.copy_from_file(memory::Run {
                first: 0,
                pages: PAGES,
            })?;
        }
    }
    fn brings(&self, _page: u64) -> bool {
        true
    }
}

#[test]
fn the_end_of_the_hypervisor_ends_a_bulk_installation() {
    if let Some(socket) = child::socket() {
        play_guest(&socket);
    }
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Endless);
    let process = Process::start(
        "failures::the_end_of_the_hypervisor_ends_a_bulk_installation",
        &served.socket,
    );
    wait(served.server.connected()).unwrap();
    assert!(process.kill());
    let outcome = served.server.join();
    assert!(matches!(outcome, Outcome::PeerEnded), "{outcome:?}");
}

/// A guest must never find zeros where its memory should be.
#[test]
fn a_server_that_fails_says_so_and_holds_the_guest_until_it_is_killed() {
    if let Some(socket) = child::socket() {
        let guest = Guest::new(&[PAGES]);
        guest.connect(&socket);
        let guest = Arc::into_inner(guest).unwrap();
        let (memory, uffd) = guest.into_parts();
        // As Firecracker could: the server holds the only descriptor now.
        drop::<Userfaultfd>(uffd);
        let byte = memory[0].load(0);
        panic!("the guest went on with {byte}");
    }
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Lazy);
    // Its content is gone when it is asked for.
    std::fs::File::options()
        .write(true)
        .open(snapshot.memory_path())
        .unwrap()
        .set_len(0)
        .unwrap();
    let process = Process::start(
        "failures::a_server_that_fails_says_so_and_holds_the_guest_until_it_is_killed",
        &served.socket,
    );
    let Outcome::Failed(error) = wait(served.server.wait()) else {
        panic!("the server served what is not there");
    };
    assert!(
        matches!(
            &*error,
            ServerError::Install(InstallError::Kernel { page: 0, .. })
        ),
        "{error:?}"
    );
    assert!(process.kill(), "the guest ended before it was killed");
}

struct Panics;
impl Policy for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }
    fn install(&self, _installer: &Installer) -> Result<(), InstallError> {
        panic!("as it is meant to");
    }
    fn brings(&self, _page: u64) -> bool {
        false
    }
}

#[test]
fn a_policy_that_panics_is_a_failure() {
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Panics);
    let guest = Guest::new(&[PAGES]);
    guest.connect(&served.socket);
    let outcome = wait(served.server.wait());
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        error.to_string(),
        "the page server panicked while installing in bulk; this is a bug"
    );
}

struct TooShort;
impl Policy for TooShort {
    fn name(&self) -> &'static str {
        "too-short"
    }
    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        installer.copy(memory::Run { first: 0, pages: 2 }, &[1; 4096])
    }
    fn brings(&self, _page: u64) -> bool {
        false
    }
}

#[test]
fn content_that_does_not_fit_its_run_is_refused_and_the_guest_served() {
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, TooShort);
    let guest = Guest::new(&[PAGES]);
    guest.connect(&served.socket);
    let error = wait(served.server.installed()).unwrap().error.unwrap();
    assert!(
        matches!(&*error, InstallError::Content { bytes: 4096, .. }),
        "{error:?}"
    );
    within(move || assert!(guest.read(0) == content(0)));
}

#[test]
fn a_fault_outside_of_the_regions_is_a_failure() {
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Lazy);
    let guest = Guest::new(&[PAGES]);
    guest.connect(&served.socket);
    wait(served.server.connected()).unwrap();

    // Registered with the same userfaultfd, and not in the message.
    let outside = sys::mapping::Mapping::anonymous(4096, sys::mapping::PageSize::Base).unwrap();
    guest.uffd.register_missing(&outside).unwrap();
    let address = outside.address();
    let toucher = std::thread::spawn(move || outside.load(0));
    let outcome = wait(served.server.wait());
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        matches!(&*error, ServerError::FaultOutside { address: at } if *at == address),
        "{error:?}"
    );
    // Once nobody holds the userfaultfd, what is missing is zero.
    drop((served, guest));
    assert_eq!(within(move || toucher.join().unwrap()), 0);
}

#[test]
fn an_owner_may_stop_before_anybody_connects_and_during_the_handshake() {
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Lazy);
    served.server.stop();
    assert!(matches!(served.server.join(), Outcome::Stopped));

    let served = serve(&snapshot.memory, Lazy);
    let _stream = std::os::unix::net::UnixStream::connect(&served.socket).unwrap();
    served.server.stop();
    assert!(matches!(
        wait(served.server.connected()).unwrap_err(),
        Outcome::Stopped
    ));
    assert!(matches!(
        wait(served.server.installed()).unwrap_err(),
        Outcome::Stopped
    ));
}

#[test]
fn only_the_first_to_connect_is_served() {
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Lazy);
    let guest = Guest::new(&[PAGES]);
    guest.connect(&served.socket);
    wait(served.server.connected()).unwrap();
    assert!(std::os::unix::net::UnixStream::connect(&served.socket).is_err());
}

#[test]
fn stopping_does_not_wait_for_a_guest_that_asks_for_nothing() {
    let snapshot = Snapshot::new(PAGES);
    let served = serve(&snapshot.memory, Lazy);
    let guest = Guest::new(&[PAGES]);
    guest.connect(&served.socket);
    wait(served.server.connected()).unwrap();
    served.server.stop();
    assert!(matches!(wait(served.server.wait()), Outcome::Stopped));
}
