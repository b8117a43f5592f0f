//! The host's side of the library that is preloaded into a waiting QEMU, `crates/uffd-shim`.
//!
//! What is said is written down there; both come out of one build.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::config::Backing;
use crate::fd_passing;

/// The library itself.
const LIBRARY: &[u8] = include_bytes!(env!("VHIVE_UFFD_SHIM"));

/// Names the descriptor of the file that stands for the guest's memory.
pub(super) const MEMORY_VARIABLE: &str = "VHIVE_SHIM_MEMORY";

/// Names the descriptor of the control socket.
pub(super) const CONTROL_VARIABLE: &str = "VHIVE_SHIM_CONTROL";

/// Where userfaultfds are made without a privilege, by whoever may open it.
const DEVICE: &str = "/dev/userfaultfd";

const DEADLINE: Duration = Duration::from_secs(5);

/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 4096;

/// The shim did not put the memory in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no page server where it should be.
    #[error("cannot open the page server's socket {path:?}")]
    Socket {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It said why not.
    #[error("{0}")]
    Refused(String),
    /// It is not there: QEMU did not load it, or did not map the memory.
    #[error("QEMU ended, or does not have the library that takes the memory")]
    Gone,
    /// It does not answer.
    #[error("no answer within {DEADLINE:?}")]
    TimedOut,
    /// It answers something else.
    #[error("an answer that cannot be understood: {0:?}")]
    Answer(String),
    /// The socket failed.
    #[error("the control socket failed")]
    Io(#[from] io::Error),
}

/// Where the guest's memory is, in QEMU's address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: usize,
    /// In bytes.
    pub(super) length: usize,
}

/// The library as a file, which the dynamic linker opens.
pub(super) fn library() -> io::Result<OwnedFd> {
    let file =
        sys::memfd::create("uffd-shim.so", LIBRARY.len() as u64).map_err(io::Error::other)?;
    let file = File::from(file);
    file.write_all_at(LIBRARY, 0)?;
    Ok(file.into())
}

/// Has the shim put the memory in place.
pub(super) async fn bind(control: &mut UnixStream, memory: Backing) -> Result<Region, Error> {
    let (request, memory, device): (&[u8], OwnedFd, _) = match memory {
        Backing::File(file) => (b"file\n", file.into(), None),
        Backing::Uffd(path) => {
            let socket = OpenOptions::new()
                .read(true)
                .custom_flags(OFlag::O_PATH.bits())
                .open(&path)
                .map_err(|source| Error::Socket { path, source })?;
            // Without the device the shim has to have the privilege that the system call needs.
            let device = OpenOptions::new().read(true).write(true).open(DEVICE);
            (b"uffd\n", socket.into(), device.ok())
        }
    };
    let fds: Vec<BorrowedFd<'_>> = std::iter::once(memory.as_fd())
        .chain(device.iter().map(File::as_fd))
        .collect();
    let answered = async {
        fd_passing::send(control, request, &fds).await?;
        let mut answer = Vec::new();
        // It says one thing, and closes.
        control.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = match timeout(DEADLINE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error))
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) =>
        {
            return Err(Error::Gone);
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(Error::TimedOut),
    };
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Result<Region, Error> {
    if answer.is_empty() {
        return Err(Error::Gone);
    }
    let line = answer.trim_end();
    if let Some(why) = line.strip_prefix("error ") {
        return Err(Error::Refused(why.to_owned()));
    }
    let region = || {
        let (start, length) = line.strip_prefix("ok ")?.split_once(' ')?;
        Some(Region {
            start: start.parse().ok()?,
            length: length.parse().ok()?,
        })
    };
    region().ok_or_else(|| Error::Answer(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_region_or_a_reason() {
        let region = Region {
            start: 4096,
            length: 8192,
        };
        assert_eq!(parse("ok 4096 8192\n").unwrap(), region);
        let error = parse("error the memory file has 1 bytes\n").unwrap_err();
        assert_eq!(error.to_string(), "the memory file has 1 bytes");
        assert!(matches!(parse(""), Err(Error::Gone)));
        for answer in ["ok 4096\n", "ok\n", "hello\n", "ok 1 -1\n"] {
            assert!(matches!(parse(answer), Err(Error::Answer(_))), "{answer}");
        }
    }
}
