//! The socket at which the host says how memory arrives.

use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::bind::{self, Range};

/// Descriptors that come with a request, at most.
const MAX_FDS: usize = 2;

/// Waits for the host's request, does it, and answers. Ends without a word when the host goes away.
pub(crate) fn serve(mut control: &UnixStream, range: Range) {
    let bound = match receive(control) {
        Ok(Some(request)) => bind(request, range),
        Ok(None) => return,
        Err(error) => Err(format!("cannot read the request: {error}")),
    };
    let answer = match bound {
        Ok(()) => format!("ok {} {}\n", range.start, range.length),
        Err(text) => format!("error {text}\n"),
    };
    // Nobody is left to tell if the host is gone: it ends QEMU when it goes.
    let _ = control.write_all(answer.as_bytes());
}

/// A request: its text, and the descriptors that came along.
type Request = (Vec<u8>, Vec<OwnedFd>);

fn receive(control: &UnixStream) -> io::Result<Option<Request>> {
    let mut text = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // The host sends it whole, so it is received whole.
    let received = loop {
        let mut buffers = [IoSliceMut::new(&mut text)];
        match recvmsg(
            control,
            &mut buffers,
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let text = text.iter().copied().take(received.bytes).collect();
    Ok(Some((text, fds)))
}

fn bind((text, fds): Request, range: Range) -> Result<(), String> {
    let mut fds = fds.into_iter();
    match (text.as_slice(), fds.next()) {
        (b"file\n", Some(memory)) => bind::to_file(range, &memory),
        (b"uffd\n", Some(socket)) => bind::to_page_server(range, &socket, fds.next()),
        (_, None) => Err("the request came without a descriptor".to_owned()),
        _ => Err(format!(
            "there is no request {:?}",
            String::from_utf8_lossy(&text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    /// What is answered to `request`, for a range that nothing may be mapped to.
    fn answer(request: &[u8]) -> String {
        let (mut host, shim) = UnixStream::pair().unwrap();
        host.write_all(request).unwrap();
        let range = Range {
            start: 0,
            length: 0,
        };
        serve(&shim, range);
        drop(shim);
        let mut answer = String::new();
        host.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_request_without_a_descriptor_is_refused() {
        assert_eq!(
            answer(b"file\n"),
            "error the request came without a descriptor\n"
        );
    }

    #[test]
    fn a_host_that_goes_away_is_not_answered() {
        let (host, shim) = UnixStream::pair().unwrap();
        drop(host);
        let range = Range {
            start: 0,
            length: 0,
        };
        serve(&shim, range);
    }

    #[test]
    fn an_unknown_request_is_refused_by_its_text() {
        let fd = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let range = Range {
            start: 0,
            length: 0,
        };
        assert_eq!(
            bind((b"disk\n".to_vec(), vec![fd]), range).unwrap_err(),
            r#"there is no request "disk\n""#
        );
    }
}
