//! A userfaultfd over a range of this process (Linux's Documentation/admin-guide/mm/userfaultfd.rst).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use libc::{Ioctl, c_int, c_long};

use crate::bind::Range;

const DEVICE: &str = "/dev/userfaultfd";

// Numbers and structures of Linux's include/uapi/linux/userfaultfd.h.
const USERFAULTFD_IOC_NEW: Ioctl = 0xaa00;
const UFFDIO_API: Ioctl = 0xc018_aa3f;
const UFFDIO_REGISTER: Ioctl = 0xc020_aa00;
const UFFD_API: u64 = 0xaa;
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

/// Makes a userfaultfd that also sees the faults that the kernel takes on this process's behalf: KVM's, and those
/// in system calls.
///
/// Through the device, which the host hands over open if this process may not open it itself; else by the
/// system call, which needs a privilege.
pub(crate) fn open(device: Option<OwnedFd>) -> Result<OwnedFd, String> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    let device = device.or_else(|| {
        let device = OpenOptions::new().read(true).write(true).open(DEVICE);
        device.ok().map(OwnedFd::from)
    });
    let made: c_long = match &device {
        Some(device) => {
            // SAFETY: the request takes its flags by value, and makes a descriptor.
            unsafe { libc::ioctl(device.as_raw_fd(), USERFAULTFD_IOC_NEW, flags) }.into()
        }
        // SAFETY: the call takes its flags by value, and makes a descriptor.
        None => unsafe { libc::syscall(libc::SYS_userfaultfd, flags) },
    };
    let uffd = RawFd::try_from(made).unwrap_or(-1);
    if uffd < 0 {
        let error = io::Error::last_os_error();
        return Err(format!("cannot make a userfaultfd: {error}"));
    }
    // SAFETY: the kernel just made it, for nobody else.
    let uffd = unsafe { OwnedFd::from_raw_fd(uffd) };
    let mut api = Api {
        api: UFFD_API,
        features: 0,
        ioctls: 0,
    };
    request(&uffd, UFFDIO_API, &mut api)
        .map_err(|error| format!("the kernel's userfaultfd is of another version: {error}"))?;
    Ok(uffd)
}

/// From now on, a page of the range that is touched and not there is asked for at `uffd`.
pub(crate) fn register(uffd: &OwnedFd, range: Range) -> Result<(), String> {
    let mut register = Register {
        start: range.start as u64,
        length: range.length as u64,
        mode: UFFDIO_REGISTER_MODE_MISSING,
        ioctls: 0,
    };
    request(uffd, UFFDIO_REGISTER, &mut register)
        .map_err(|error| format!("cannot register the memory with a userfaultfd: {error}"))
}

fn request<T>(uffd: &OwnedFd, request: Ioctl, argument: &mut T) -> io::Result<()> {
    // SAFETY: each caller passes the structure that its request reads and writes.
    let done: c_int =
        unsafe { libc::ioctl(uffd.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
