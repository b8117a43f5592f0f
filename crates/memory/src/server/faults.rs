//! Answering faults.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use sys::userfaultfd::{Batch, Event};

use super::error::ServerError;
use super::handle::Shared;
use super::progress::Outcome;
use crate::installer::{Answer, InstallError, Installer, give_way};

/// A thread of the guest that waits.
#[derive(Debug, Clone, Copy)]
struct Fault {
    page: u64,
    address: u64,
    write: bool,
}

/// What there is to do.
enum Wake {
    /// Messages may be there.
    Messages,
    Ended(Outcome),
}

/// Answers faults until the hypervisor has ended, the owner stops the server, or something fails.
pub(super) fn answer(
    shared: &Shared,
    installer: &Installer,
    pidfd: BorrowedFd<'_>,
    started: Instant,
) -> Outcome {
    let mut batch = Batch::new();
    let mut waiting: VecDeque<Fault> = VecDeque::new();
    let mut attempts = 0;
    loop {
        match wait(shared, installer, pidfd, waiting.is_empty()) {
            Ok(Wake::Messages) => {}
            Ok(Wake::Ended(outcome)) => return outcome,
            Err(errno) => return Outcome::failed(ServerError::Wait(errno.into())),
        }
        let events = match installer.read_messages(&mut batch) {
            Ok(events) => events,
            Err(error) => return Outcome::failed(ServerError::Messages(error)),
        };
        let before = waiting.len();
        for event in events {
            match fault(installer, &event) {
                Ok(fault) => waiting.extend(fault),
                Err(error) => return Outcome::failed(error),
            }
        }
        // Before they are answered: whoever hears from the guest finds its pages in the set.
        take_note(shared, waiting.iter().skip(before));
        let before = waiting.len();
        match answer_all(installer, &mut waiting) {
            Ok(()) => {}
            Err(InstallError::Ended) => return Outcome::PeerEnded,
            Err(error) => return Outcome::failed(ServerError::Install(error)),
        }
        if before > waiting.len() && shared.counters.first_fault_ns.load(Ordering::Relaxed) == 0 {
            shared
                .counters
                .first_fault_ns
                .store(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        if waiting.is_empty() || waiting.len() < before {
            attempts = 0;
        } else {
            attempts += 1;
            give_way(attempts);
        }
    }
}

/// Waits for messages, or only looks if faults are still to be answered.
fn wait(
    shared: &Shared,
    installer: &Installer,
    pidfd: BorrowedFd<'_>,
    idle: bool,
) -> Result<Wake, Errno> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(installer.uffd().as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(shared.control.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, (!idle).then_some(&now)) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        let ready = |index: usize| !fds[index].revents().is_empty();
        if ready(1) {
            if let Some(error) = shared.bulk_failure.get() {
                return Ok(Wake::Ended(Outcome::Failed(Arc::clone(error))));
            }
            if shared.stop.load(Ordering::Acquire) {
                return Ok(Wake::Ended(Outcome::Stopped));
            }
        }
        if ready(2) {
            return Ok(Wake::Ended(Outcome::PeerEnded));
        }
        if ready(0) || !idle {
            return Ok(Wake::Messages);
        }
    }
}

/// The fault that `event` is, if it is one.
fn fault(installer: &Installer, event: &Event) -> Result<Option<Fault>, ServerError> {
    let unserved = |event| Err(ServerError::Event { event });
    match event {
        &Event::Fault { address, write } => {
            let (page, address) = installer
                .layout()
                .page_at(address)
                .ok_or(ServerError::FaultOutside { address })?;
            Ok(Some(Fault {
                page,
                address,
                write,
            }))
        }
        // The reader of messages took note.
        Event::Remove(_) | Event::Unmap(_) => Ok(None),
        Event::Remap { .. } => unserved("remap"),
        Event::Fork(_) => unserved("fork"),
        Event::Unknown(_) => unserved("unknown"),
    }
}

/// Answers the faults that can be; the others stay, in their order.
fn answer_all(installer: &Installer, waiting: &mut VecDeque<Fault>) -> Result<(), InstallError> {
    while let Some(fault) = waiting.front().copied() {
        let answer = installer.answer(fault.page, fault.address, fault.write)?;
        if answer == Answer::Again {
            // There are messages to read first, and that holds for the other faults too.
            return Ok(());
        }
        waiting.pop_front();
    }
    Ok(())
}

fn take_note<'a>(shared: &Shared, faults: impl Iterator<Item = &'a Fault>) {
    let mut faulted = shared
        .faulted
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for fault in faults {
        shared.counters.faults.fetch_add(1, Ordering::Relaxed);
        if !shared.policy.brings(fault.page) {
            shared.counters.misses.fetch_add(1, Ordering::Relaxed);
        }
        faulted.insert(fault.page);
    }
}
