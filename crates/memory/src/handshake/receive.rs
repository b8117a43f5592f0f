//! The message, received.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use sys::fd_passing;
use sys::userfaultfd::Userfaultfd;

use super::MAX_MESSAGE;
use super::message::{Refusal, Text, check, read};
use crate::layout::Layout;

/// A handshake did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hypervisor sent something that cannot be served.
    #[error("the hypervisor's userfaultfd handshake is refused")]
    Refused(#[from] Refusal),
    /// The hypervisor closed the connection first.
    #[error(
        "the hypervisor closed the connection after {bytes} bytes of the userfaultfd handshake"
    )]
    Closed {
        /// Bytes it had sent.
        bytes: usize,
    },
    /// The message did not come to its end in time.
    #[error("the userfaultfd handshake was not complete after {waited:?}; {bytes} bytes had come")]
    Late {
        /// How long it was waited for.
        waited: Duration,
        /// Bytes that had come.
        bytes: usize,
    },
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] fd_passing::Error),
    /// Waiting failed.
    #[error("cannot wait for the hypervisor's userfaultfd handshake")]
    Wait(#[source] io::Error),
}

/// What waiting for a descriptor ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Ready,
    /// The owner asked to stop.
    Stopped,
    DeadlinePassed,
}

impl Wait {
    /// Waits until `fd` is readable or closed, or `control` is readable.
    pub(crate) fn until(
        fd: BorrowedFd<'_>,
        control: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> io::Result<Self> {
        loop {
            let timeout = match deadline {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Self::DeadlinePassed);
                    }
                    Timespec::try_from(left).ok()
                }
                None => None,
            };
            let mut fds = [
                PollFd::from_borrowed_fd(fd, PollFlags::IN),
                PollFd::from_borrowed_fd(control, PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(_) if !fds[1].revents().is_empty() => return Ok(Self::Stopped),
                Ok(_) if !fds[0].revents().is_empty() => return Ok(Self::Ready),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Receives the message for a memory file of `file` bytes; `None` if the owner asked to stop meanwhile.
///
/// The descriptor may come after the text: the wait goes on, within `patience`, until both are there.
pub(crate) fn receive(
    stream: &UnixStream,
    control: BorrowedFd<'_>,
    file: u64,
    patience: Duration,
) -> Result<Option<(Layout, Userfaultfd)>, Error> {
    let started = Instant::now();
    let deadline = started.checked_add(patience);
    let mut text = Vec::new();
    let mut fds: Vec<OwnedFd> = Vec::new();
    let mut buffer = vec![0; 4096];
    loop {
        match Wait::until(stream.as_fd(), control, deadline).map_err(Error::Wait)? {
            Wait::Ready => {}
            Wait::Stopped => return Ok(None),
            Wait::DeadlinePassed => {
                if matches!(read(&text), Ok(Text::Finished(_))) {
                    return Err(Refusal::NoDescriptor.into());
                }
                return Err(Error::Late {
                    waited: started.elapsed(),
                    bytes: text.len(),
                });
            }
        }
        let received = fd_passing::receive(stream, &mut buffer)?;
        fds.extend(received.fds);
        if fds.len() > 1 || received.fds_cut_off {
            return Err(Refusal::ManyDescriptors { count: fds.len() }.into());
        }
        text.extend_from_slice(&buffer[..received.bytes]);
        if text.len() > MAX_MESSAGE {
            return Err(Refusal::TooLong { limit: MAX_MESSAGE }.into());
        }
        let finished = match read(&text)? {
            Text::Unfinished(_) => None,
            Text::Finished(regions) => Some(check(&regions, file)?),
        };
        let ended = received.bytes == 0;
        match (finished, fds.pop()) {
            (Some(layout), Some(fd)) => {
                let uffd = Userfaultfd::from_fd(fd).map_err(Refusal::Descriptor)?;
                return Ok(Some((layout, uffd)));
            }
            (Some(_), None) if ended => return Err(Refusal::NoDescriptor.into()),
            (None, _) if ended => return Err(Error::Closed { bytes: text.len() }),
            (_, fd) => fds.extend(fd),
        }
    }
}
