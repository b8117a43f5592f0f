//! Puts something else where QEMU has mapped the guest's memory.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use libc::{c_int, c_void};
use rustix::fs::fstat;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::userfaultfd;

/// Bytes of a page. QEMU's memory is mapped in pages of this size: nothing here asks for larger ones.
const PAGE_SIZE: usize = 4096;

/// A piece of QEMU's address space.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) start: usize,
    /// In bytes.
    pub(crate) length: usize,
}

/// Pages come from the memory file as they are touched; what is written stays in this process.
pub(crate) fn to_file(range: Range, memory: &OwnedFd) -> Result<(), String> {
    let size = fstat(memory)
        .map_err(|errno| format!("cannot ask for the size of the memory file: {errno}"))?
        .st_size;
    // Beyond the end of a file its mapping is not zero but SIGBUS.
    if usize::try_from(size) != Ok(range.length) {
        return Err(format!(
            "the memory file has {size} bytes, the machine's memory {}",
            range.length
        ));
    }
    map(range, 0, memory.as_raw_fd())
        .map_err(|error| format!("cannot map the memory file: {error}"))
}

/// Pages come from the page server as they are touched. `socket` is the file that it listens at, which need not be
/// within this process's reach.
pub(crate) fn to_page_server(
    range: Range,
    socket: &OwnedFd,
    device: Option<OwnedFd>,
) -> Result<(), String> {
    let server = UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd()))
        .map_err(|error| format!("cannot connect to the page server: {error}"))?;
    map(range, libc::MAP_ANONYMOUS, -1)
        .map_err(|error| format!("cannot map fresh memory: {error}"))?;
    let uffd = userfaultfd::open(device)?;
    userfaultfd::register(&uffd, range)?;
    send(&server, &handshake(range), &uffd)
        .map_err(|error| format!("cannot speak to the page server: {error}"))?;
    // It stays open for as long as QEMU lives: if the page server's were the only one, its death would turn the pages
    // that it has not yet sent into zeros.
    let _ = uffd.into_raw_fd();
    Ok(())
}

/// Maps over the range. QEMU's advice for the old mapping ended with it; what matters of it is given again.
fn map(range: Range, flags: c_int, fd: c_int) -> io::Result<()> {
    let start = range.start as *mut c_void;
    // SAFETY: QEMU mapped this range for the guest's memory and never unmaps it. No guest runs yet, and whatever
    // QEMU has written there is what the snapshot replaces.
    let mapped = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            start,
            range.length,
            libc::PROT_READ | libc::PROT_WRITE,
            flags | libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
            fd,
            0,
        )
    };
    if mapped == -1 {
        return Err(io::Error::last_os_error());
    }
    // A child has no business with the guest's memory, and a core dump would fetch all of it.
    for advice in [libc::MADV_DONTFORK, libc::MADV_DONTDUMP] {
        // SAFETY: the range was just mapped, and this advice changes nothing in it.
        let advised = unsafe { libc::madvise(start, range.length, advice) };
        if advised == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Firecracker's message to its page server. One region, as QEMU maps a guest's memory in one piece.
fn handshake(range: Range) -> String {
    let Range { start, length } = range;
    format!(
        r#"[{{"base_host_virt_addr":{start},"size":{length},"offset":0,"page_size":{PAGE_SIZE},"page_size_kib":{PAGE_SIZE}}}]"#
    )
}

fn send(server: &UnixStream, text: &str, uffd: &OwnedFd) -> io::Result<()> {
    let fds = [uffd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let text = text.as_bytes();
    let sent = sendmsg(
        server,
        &[IoSlice::new(text)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    if sent == text.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};

    /// A range of this process, of two pages, as QEMU would have mapped it.
    fn range() -> Range {
        let length = 2 * PAGE_SIZE;
        // SAFETY: the kernel chooses the place, so it is nobody's.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        Range {
            start: start as usize,
            length,
        }
    }

    fn file(length: usize) -> File {
        let fd =
            rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
        let mut file = File::from(fd);
        file.write_all(&vec![7; length]).unwrap();
        file
    }

    #[test]
    fn what_is_written_to_a_bound_range_does_not_get_into_the_file() {
        let range = range();
        let mut file = file(range.length);
        to_file(range, &file.try_clone().unwrap().into()).unwrap();
        let first = range.start as *mut u8;
        // SAFETY: the range is mapped, writable, and nobody else's.
        let read = unsafe {
            let read = first.read_volatile();
            first.write_volatile(9);
            read
        };
        assert_eq!(read, 7);
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_memory_file_of_another_size_is_refused_with_both_sizes() {
        let range = range();
        for size in [PAGE_SIZE, 3 * PAGE_SIZE] {
            let error = to_file(range, &file(size).into()).unwrap_err();
            assert_eq!(
                error,
                format!("the memory file has {size} bytes, the machine's memory 8192")
            );
        }
    }

    #[test]
    fn the_handshake_is_firecrackers() {
        let range = Range {
            start: 8192,
            length: 4096,
        };
        assert_eq!(
            handshake(range),
            r#"[{"base_host_virt_addr":8192,"size":4096,"offset":0,"page_size":4096,"page_size_kib":4096}]"#
        );
    }
}
