//! The least that can serve a guest: the same system calls, and nothing around them.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use sys::userfaultfd::{Batch, Event, Wake};

use super::guest::Guest;
use super::{Boxed, MeasureError, PAGE, at};
use crate::memory_file::MemoryFile;
use crate::page_set::Run;

/// Answers `faults` faults of the guest; the time is the guest's.
pub(super) fn faults(
    guest: &Guest,
    memory: &MemoryFile,
    faults: u64,
) -> Result<Duration, MeasureError> {
    thread::scope(|scope| {
        let server = scope.spawn(|| answer(guest, memory, faults));
        let took = guest.touch(faults);
        match server.join() {
            Ok(result) => result.map(|()| took).map_err(at("answer a fault")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn answer(guest: &Guest, memory: &MemoryFile, faults: u64) -> Result<(), Boxed> {
    let mut batch = Batch::new();
    let mut left = faults;
    while left > 0 {
        let mut fds = [PollFd::from_borrowed_fd(guest.uffd.as_fd(), PollFlags::IN)];
        rustix::event::poll(&mut fds, None)?;
        for event in guest.uffd.read(&mut batch)? {
            if let Event::Fault { address, .. } = event {
                let address = address / PAGE * PAGE;
                let at = (address - guest.memory.address()) as usize;
                let range = at..at + PAGE as usize;
                guest
                    .uffd
                    .copy_mapped(address, memory.mapping(), range, Wake::Now)?;
                left -= 1;
            }
        }
    }
    Ok(())
}

/// Installs the runs, whose content follows each other.
pub(super) fn install(
    guest: &Guest,
    runs: &[Run],
    content: &[u8],
) -> Result<Duration, MeasureError> {
    let started = Instant::now();
    let mut rest = content;
    for run in runs {
        let (here, after) = rest.split_at((run.pages * PAGE) as usize);
        guest
            .uffd
            .copy(guest.memory.address() + run.first * PAGE, here, Wake::Now)
            .map_err(at("install"))?;
        rest = after;
    }
    Ok(started.elapsed())
}
