//! The handshake over a socket: what is taken, and what is refused.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use memory::handshake::{Error, MAX_MESSAGE, Refusal};
use memory::{Lazy, Options, Outcome, ServerError};
use sys::fd_passing;

use crate::guest::{Guest, Served, serve, serve_with, wait, within};
use crate::snapshot::{Snapshot, content};

/// A server that is told `say` must refuse, and `expected` must be why.
fn refused(
    patience: Duration,
    say: impl FnOnce(&mut UnixStream, &Guest),
    expected: impl FnOnce(&Error) -> bool,
) {
    let snapshot = Snapshot::new(16);
    let options = Options {
        handshake_patience: patience,
    };
    let served = serve_with(&snapshot.memory, Lazy, options);
    let guest = Guest::new(&[16]);
    let mut stream = UnixStream::connect(&served.socket).unwrap();
    say(&mut stream, &guest);
    let Outcome::Failed(error) = wait(served.server.wait()) else {
        panic!("the server took it");
    };
    match &*error {
        ServerError::Handshake(error) => assert!(expected(error), "{error:?}"),
        other => panic!("{other:?}"),
    }
}

const LONG: Duration = Duration::from_secs(60);
/// The deadline is met by waiting for it.
const SHORT: Duration = Duration::from_millis(50);

fn works(served: Served, guest: &Arc<Guest>) {
    let guest = Arc::clone(guest);
    within(move || {
        for page in 0..16 {
            assert!(guest.read(page) == content(page));
        }
    });
    served.server.stop();
    assert!(matches!(served.server.join(), Outcome::Stopped));
}

#[test]
fn the_descriptor_may_come_after_the_text() {
    let snapshot = Snapshot::new(16);
    let served = serve(&snapshot.memory, Lazy);
    let guest = Guest::new(&[16]);
    let mut stream = UnixStream::connect(&served.socket).unwrap();
    stream.write_all(guest.message().as_bytes()).unwrap();
    // A descriptor needs a byte to come with.
    fd_passing::send(&stream, b"\n", &[guest.uffd.as_fd()]).unwrap();
    works(served, &guest);
}

#[test]
fn the_text_may_come_in_pieces_and_the_descriptor_with_the_first() {
    let snapshot = Snapshot::new(16);
    let served = serve(&snapshot.memory, Lazy);
    let guest = Guest::new(&[7, 9]);
    let stream = UnixStream::connect(&served.socket).unwrap();
    let text = guest.message();
    for (index, byte) in text.as_bytes().chunks(1).enumerate() {
        let fds = [guest.uffd.as_fd()];
        let fds = if index == 0 { &fds[..] } else { &[] };
        fd_passing::send(&stream, byte, fds).unwrap();
    }
    works(served, &guest);
}

#[test]
fn text_without_a_descriptor_is_refused() {
    refused(
        LONG,
        |stream, guest| {
            stream.write_all(guest.message().as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        },
        |error| matches!(error, Error::Refused(Refusal::NoDescriptor)),
    );

    refused(
        SHORT,
        |stream, guest| {
            stream.write_all(guest.message().as_bytes()).unwrap();
            std::mem::forget(stream.try_clone().unwrap());
        },
        |error| matches!(error, Error::Refused(Refusal::NoDescriptor)),
    );
}

#[test]
fn two_descriptors_are_refused_together_and_one_after_the_other() {
    refused(
        LONG,
        |stream, guest| {
            let fds = [guest.uffd.as_fd(), guest.uffd.as_fd()];
            fd_passing::send(stream, guest.message().as_bytes(), &fds).unwrap();
        },
        |error| matches!(error, Error::Refused(Refusal::ManyDescriptors { count: 2 })),
    );

    refused(
        LONG,
        |stream, guest| {
            let text = guest.message();
            let (start, end) = text.as_bytes().split_at(10);
            fd_passing::send(&stream, start, &[guest.uffd.as_fd()]).unwrap();
            fd_passing::send(&stream, end, &[guest.uffd.as_fd()]).unwrap();
        },
        |error| matches!(error, Error::Refused(Refusal::ManyDescriptors { count: 2 })),
    );
}

#[test]
fn a_descriptor_of_something_else_is_refused() {
    refused(
        LONG,
        |stream, guest| {
            let own = stream.try_clone().unwrap();
            fd_passing::send(&stream, guest.message().as_bytes(), &[own.as_fd()]).unwrap();
        },
        |error| matches!(error, Error::Refused(Refusal::Descriptor(_))),
    );
}

#[test]
fn garbage_is_refused_at_once() {
    refused(
        LONG,
        |stream, guest| {
            fd_passing::send(stream, b"GET / HTTP/1.1\r\n", &[guest.uffd.as_fd()]).unwrap();
        },
        |error| matches!(error, Error::Refused(Refusal::Garbage(_))),
    );
}

#[test]
fn a_message_without_end_is_refused_at_its_limit() {
    refused(
        LONG,
        |stream, _| {
            let start = format!("[{}", " ".repeat(MAX_MESSAGE));
            stream.write_all(start.as_bytes()).unwrap();
        },
        |error| matches!(error, Error::Refused(Refusal::TooLong { .. })),
    );
}

#[test]
fn a_message_of_a_guest_with_other_memory_is_refused() {
    refused(
        LONG,
        |stream, _| {
            let other = Guest::new(&[8]);
            fd_passing::send(stream, other.message().as_bytes(), &[other.uffd.as_fd()]).unwrap();
        },
        |error| {
            matches!(
                error,
                Error::Refused(Refusal::Size {
                    sum: 0x8000,
                    file: 0x1_0000
                })
            )
        },
    );
}

#[test]
fn who_says_nothing_is_waited_for_only_so_long() {
    let mut open = None;
    refused(
        SHORT,
        |stream, _| open = Some(stream.try_clone().unwrap()),
        |error| matches!(error, Error::Late { bytes: 0, .. }),
    );
}

#[test]
fn who_hangs_up_in_the_middle_is_named_as_that() {
    refused(
        LONG,
        |stream, guest| {
            stream.write_all(&guest.message().as_bytes()[..20]).unwrap();
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        },
        |error| matches!(error, Error::Closed { bytes: 20 }),
    );
}
