//! Pages installed through a userfaultfd, and what the kernel says meanwhile. Needs root.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use sys::mapping::{Access, Mapping, PageSize};
use sys::memfd;
use sys::userfaultfd::{Batch, Error, Event, Features, Installed, Stop, Userfaultfd, Wake};

const PAGE: usize = 4096;

fn registered(pages: usize) -> (Userfaultfd, Mapping) {
    let uffd = Userfaultfd::create(Features::EVENT_REMOVE).expect("run the tests as root");
    let memory = Mapping::anonymous(pages * PAGE, PageSize::Base).unwrap();
    uffd.register_missing(&memory).unwrap();
    (uffd, memory)
}

fn next(uffd: &Userfaultfd) -> Event {
    let mut fds = [PollFd::from_borrowed_fd(uffd.as_fd(), PollFlags::IN)];
    rustix::event::poll(&mut fds, None).unwrap();
    uffd.read(&mut Batch::new()).unwrap().remove(0)
}

#[test]
fn pages_are_copied_mapped_and_zeroed() {
    let (uffd, memory) = registered(4);
    let at = |page: usize| memory.address() + (page * PAGE) as u64;
    let done = |bytes| Installed { bytes, stop: None };
    let file = File::from(memfd::create("source", 2 * PAGE as u64).unwrap());
    std::os::unix::fs::FileExt::write_all_at(&file, b"mapped", PAGE as u64).unwrap();
    let source = Mapping::file(&file, 2 * PAGE, Access::Read).unwrap();

    let copied = uffd.copy(at(0), &[7; 2 * PAGE], Wake::Later).unwrap();
    assert_eq!(copied, done(2 * PAGE as u64));
    let copied = uffd
        .copy_mapped(at(2), &source, PAGE..2 * PAGE, Wake::Now)
        .unwrap();
    assert_eq!(copied, done(PAGE as u64));
    assert_eq!(
        uffd.zero(at(3), PAGE as u64, Wake::Now).unwrap(),
        done(PAGE as u64)
    );
    assert_eq!((memory.load(0), memory.load(2 * PAGE - 1)), (7, 7));
    assert_eq!((memory.load(2 * PAGE), memory.load(3 * PAGE)), (b'm', 0));
}

#[test]
fn a_copy_ends_at_a_page_that_is_there_and_says_how_far_it_came() {
    let (uffd, memory) = registered(4);
    uffd.copy(memory.address() + 2 * PAGE as u64, &[1; PAGE], Wake::Now)
        .unwrap();
    let part = uffd
        .copy(memory.address(), &[2; 4 * PAGE], Wake::Now)
        .unwrap();
    assert_eq!(
        part,
        Installed {
            bytes: 2 * PAGE as u64,
            stop: Some(Stop::Again)
        }
    );
    let none = uffd
        .copy(memory.address() + part.bytes, &[2; 2 * PAGE], Wake::Now)
        .unwrap();
    assert_eq!(
        none,
        Installed {
            bytes: 0,
            stop: Some(Stop::Exists)
        }
    );
}

#[test]
fn a_touch_waits_until_its_page_is_installed_and_woken() {
    let (uffd, memory) = registered(2);
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| memory.load(PAGE + 5));
        let Event::Fault { address, write } = next(&uffd) else {
            panic!("no fault");
        };
        let page = memory.address() + PAGE as u64;
        assert!((page..page + PAGE as u64).contains(&address) && !write);
        uffd.copy(page, &[9; PAGE], Wake::Later).unwrap();
        uffd.wake(page, PAGE as u64).unwrap();
        assert_eq!(guest.join().unwrap(), 9);
    });
}

#[test]
fn memory_that_changes_takes_no_pages_until_the_message_about_it_is_read() {
    let (uffd, memory) = registered(4);
    std::thread::scope(|scope| {
        let balloon = scope.spawn(|| memory.discard(PAGE..3 * PAGE).unwrap());
        let mut fds = [PollFd::from_borrowed_fd(uffd.as_fd(), PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        let none = uffd.copy(memory.address(), &[1; PAGE], Wake::Now).unwrap();
        assert_eq!(
            none,
            Installed {
                bytes: 0,
                stop: Some(Stop::Again)
            }
        );
        let event = next(&uffd);
        let start = memory.address() + PAGE as u64;
        assert!(
            matches!(&event, Event::Remove(range) if *range == (start..start + 2 * PAGE as u64)),
            "{event:?}"
        );
        balloon.join().unwrap();
    });
    let copied = uffd.copy(memory.address(), &[1; PAGE], Wake::Now).unwrap();
    assert_eq!(copied.stop, None);
}

#[test]
fn the_device_gives_one_to_who_has_it_open() {
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/userfaultfd")
        .expect("run the tests as root, on Linux 6.1 or later");
    let uffd = Userfaultfd::create_through(device.as_fd(), Features::NONE).unwrap();
    let memory = Mapping::anonymous(PAGE, PageSize::Base).unwrap();
    uffd.register_missing(&memory).unwrap();
    uffd.copy(memory.address(), &[3; PAGE], Wake::Now).unwrap();
    assert_eq!(memory.load(0), 3);
}

#[test]
fn what_the_kernel_does_not_offer_is_named() {
    let error = Userfaultfd::create(Features(1 << 63)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel's userfaultfd does not offer the features 0x8000000000000000"
    );
}

#[test]
fn only_a_userfaultfd_is_taken_for_one() {
    let (uffd, memory) = registered(1);
    let passed = Userfaultfd::from_fd(OwnedFd::from(uffd)).unwrap();
    passed
        .copy(memory.address(), &[4; PAGE], Wake::Now)
        .unwrap();
    assert_eq!(memory.load(0), 4);

    let pipe = std::io::pipe().unwrap().0;
    let error = Userfaultfd::from_fd(pipe.into()).unwrap_err();
    assert!(
        matches!(&error, Error::Other(what) if what.starts_with("pipe:")),
        "{error:?}"
    );
}

#[test]
fn what_is_not_registered_takes_no_pages() {
    let (uffd, memory) = registered(1);
    let address = memory.address();
    drop(memory);
    let none = uffd.copy(address, &[1; PAGE], Wake::Now).unwrap();
    assert_eq!(
        none,
        Installed {
            bytes: 0,
            stop: Some(Stop::Unregistered)
        }
    );
}
