//! Descriptors sent over Unix sockets (unix(7), `SCM_RIGHTS`), and who is at the other end.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::PidfdFlags;

/// Most descriptors in one message.
pub const MAX_FDS: usize = 8;

/// A message could not be sent or received, or its sender not be named.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More descriptors than a message holds.
    #[error("a message holds at most {MAX_FDS} descriptors, not {0}")]
    TooMany(usize),
    /// The message was not sent.
    #[error("cannot send {bytes} bytes and {fds} descriptors over a Unix socket")]
    Send {
        /// Length of the message.
        bytes: usize,
        /// Descriptors with it.
        fds: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nothing was received.
    #[error("cannot receive from a Unix socket")]
    Receive(#[source] io::Error),
    /// The kernel does not tell who connected.
    #[error("cannot tell which process is at the other end of a Unix socket")]
    Peer(#[source] io::Error),
}

/// What one receive brought.
#[derive(Debug)]
pub struct Received {
    /// Bytes written to the buffer; 0 at the end of the stream.
    pub bytes: usize,
    /// Descriptors that came with them, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Whether there were more descriptors than [`MAX_FDS`]; the kernel closed the others.
    pub fds_cut_off: bool,
}

/// The process that connected a Unix socket, as it was then.
#[derive(Debug)]
pub struct Peer {
    /// Its pid, in the caller's namespace.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Readable once the process has ended.
    pub pidfd: OwnedFd,
}

/// Sends `bytes`, which must not be empty on a stream socket, and `fds` with the first of them. Returns how many
/// bytes were sent.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Error> {
    if fds.len() > MAX_FDS {
        return Err(Error::TooMany(fds.len()));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        // It fits: the space is for MAX_FDS.
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    rustix::net::sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map_err(|errno| Error::Send {
        bytes: bytes.len(),
        fds: fds.len(),
        source: errno.into(),
    })
}

/// Receives what fits into `buffer`, and the descriptors with it. Waits if the socket does.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received, Error> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(|errno| Error::Receive(errno.into()))?;
    let mut fds = Vec::new();
    for control_message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = control_message {
            fds.extend(received);
        }
    }
    Ok(Received {
        bytes: message.bytes,
        fds,
        fds_cut_off: message.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Who connected `socket` (`SO_PEERCRED`).
pub fn peer(socket: impl AsFd) -> Result<Peer, Error> {
    let socket = socket.as_fd();
    let credentials =
        rustix::net::sockopt::socket_peercred(socket).map_err(|errno| Error::Peer(errno.into()))?;
    let pidfd = match peer_pidfd(socket) {
        // Before Linux 6.5 the process is looked up by its pid, which another may have by now.
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            rustix::process::pidfd_open(credentials.pid, PidfdFlags::empty())
                .map_err(|errno| Error::Peer(errno.into()))?
        }
        other => other.map_err(Error::Peer)?,
    };
    Ok(Peer {
        pid: credentials.pid.as_raw_pid().cast_unsigned(),
        uid: credentials.uid.as_raw(),
        pidfd,
    })
}

fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut raw: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open; `raw` and `length` outlive the call, and `length` says how much room
    // `raw` has.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut raw).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel opened this descriptor for this call; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_arrives_with_its_message() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(&here, b"pipe", &[writer.as_fd()]).unwrap();
        drop(writer);

        let mut buffer = [0; 16];
        let received = receive(&there, &mut buffer).unwrap();
        assert_eq!(&buffer[..received.bytes], b"pipe");
        assert!(!received.fds_cut_off);
        let [fd] = <[OwnedFd; 1]>::try_from(received.fds).unwrap();
        std::fs::File::from(fd).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn the_end_of_the_stream_is_no_bytes() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        let received = receive(&there, &mut [0; 16]).unwrap();
        assert_eq!((received.bytes, received.fds.len()), (0, 0));
    }

    #[test]
    fn too_many_descriptors_are_refused_before_anything_is_sent() {
        let (here, _there) = UnixStream::pair().unwrap();
        let fds = [here.as_fd(); MAX_FDS + 1];
        assert!(matches!(send(&here, b"x", &fds), Err(Error::TooMany(9))));
    }

    #[test]
    fn the_peer_is_who_connected() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = peer(&here).unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.uid, rustix::process::getuid().as_raw());
    }
}
