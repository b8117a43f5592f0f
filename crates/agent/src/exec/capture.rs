//! The beginning of what a command writes to one of its outputs. The rest is read and thrown away, so that the command is not held up.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};

/// What a pipe holds (pipe(7)).
const PIPE: usize = 64 * 1024;

pub(super) struct Capture {
    /// Until the command, and whatever has its output too, has closed it.
    pipe: Option<File>,
    bytes: Vec<u8>,
    bound: usize,
    truncated: bool,
}

impl Capture {
    /// Of a pipe that does not block, at most `bound` bytes.
    pub(super) fn new(pipe: Option<File>, bound: usize) -> Capture {
        Capture {
            pipe,
            bytes: Vec::new(),
            bound,
            truncated: false,
        }
    }

    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|pipe| pipe.as_fd())
    }

    /// Takes what is there now, as far as it fits into `chunk`. Returns how much that was.
    pub(super) fn read(&mut self, chunk: &mut [u8]) -> usize {
        let Some(pipe) = &mut self.pipe else {
            return 0;
        };
        match pipe.read(chunk) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                let room = self.bound - self.bytes.len();
                self.bytes.extend_from_slice(&chunk[..count.min(room)]);
                self.truncated |= count > room;
                return count;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.pipe = None,
        }
        0
    }

    /// Takes all that was there when this was called. Somebody may go on writing, so no more than a pipe holds is taken.
    pub(super) fn drain(&mut self, chunk: &mut [u8]) {
        let mut taken = 0;
        while taken < PIPE {
            match self.read(chunk) {
                0 => return,
                count => taken += count,
            }
        }
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    use super::*;

    fn pipe(bound: usize) -> (Capture, File) {
        let (read, write) = nix::unistd::pipe().unwrap();
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        (
            Capture::new(Some(File::from(read)), bound),
            File::from(write),
        )
    }

    #[test]
    fn the_first_bytes_are_kept_and_the_rest_is_known_to_be_missing() {
        let (mut capture, mut end) = pipe(5);
        end.write_all(b"hello").unwrap();
        capture.drain(&mut [0; 3]);
        assert!(!capture.is_truncated());
        end.write_all(b" world").unwrap();
        capture.drain(&mut [0; 3]);
        assert!(capture.is_truncated());
        assert!(capture.as_fd().is_some(), "somebody may write more");
        drop(end);
        capture.drain(&mut [0; 3]);
        assert!(capture.as_fd().is_none());
        assert_eq!(capture.into_bytes(), b"hello");
    }
}
