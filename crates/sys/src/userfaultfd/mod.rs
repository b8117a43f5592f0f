//! Page faults handed to a program (userfaultfd(2), Documentation/admin-guide/mm/userfaultfd.rst).
//!
//! Installing pages writes memory through the kernel. It is safe because a descriptor made here only ever
//! registers a [`Mapping`], whose bytes nobody holds a reference to, and one that was received belongs to
//! the memory of who sent it.

mod abi;
mod event;

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use rustix::fs::OFlags;

use crate::mapping::Mapping;

pub use event::{Batch, Event};

const DEVICE: &str = "/dev/userfaultfd";

/// A userfaultfd could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the device nor the system call gives one.
    #[error(
        "cannot make a userfaultfd; run as root, give access to /dev/userfaultfd, or set the sysctl vm.unprivileged_userfaultfd to 1"
    )]
    Create(#[source] io::Error),
    /// The kernel lacks a feature.
    #[error("the kernel's userfaultfd does not offer the features {features:#x}")]
    Api {
        /// The features asked for.
        features: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The range cannot be registered.
    #[error("cannot register {length} bytes at {address:#x} with a userfaultfd")]
    Register {
        /// Where the range starts.
        address: u64,
        /// Bytes.
        length: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// A page could not be installed, for a reason that is not one of [`Stop`].
    #[error("cannot {step} {length} bytes at {address:#x} through a userfaultfd")]
    Install {
        /// Copy, zero or wake.
        step: &'static str,
        /// Where the range starts, in the address space of who registered it.
        address: u64,
        /// Bytes.
        length: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// Messages cannot be read.
    #[error("cannot read from a userfaultfd")]
    Read(#[source] io::Error),
    /// The descriptor is something else.
    #[error("the descriptor is no userfaultfd but {0:?}")]
    Other(String),
}

/// What a program asks of the API (`UFFD_FEATURE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u64);

impl Features {
    /// Nothing beyond faults on missing anonymous pages.
    pub const NONE: Self = Self(0);
    /// Messages when memory is given back.
    pub const EVENT_REMOVE: Self = Self(1 << 3);
    /// Faults on huge pages.
    pub const MISSING_HUGETLBFS: Self = Self(1 << 4);
    /// Faults on memory of memfds.
    pub const MISSING_SHMEM: Self = Self(1 << 5);
    /// Messages when memory is unmapped.
    pub const EVENT_UNMAP: Self = Self(1 << 6);

    /// These and those.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Whether threads that wait for the installed pages go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// They do.
    Now,
    /// They wait until [`Userfaultfd::wake`].
    Later,
}

/// How far an installation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Bytes installed, from the start of the range.
    pub bytes: u64,
    /// Why it ended before the end of the range.
    pub stop: Option<Stop>,
}

/// Why an installation ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The next page is there already (`EEXIST`).
    Exists,
    /// Messages wait to be read, or only a part was done (`EAGAIN`): read them, then do the rest.
    Again,
    /// The next page is no longer registered (`ENOENT`).
    Unregistered,
    /// The process whose memory it was is gone (`ESRCH`).
    Gone,
}

/// A userfaultfd: non-blocking, close-on-exec.
#[derive(Debug)]
pub struct Userfaultfd {
    fd: OwnedFd,
}

impl Userfaultfd {
    /// Makes one for this process's memory, through `/dev/userfaultfd` or else the system call, and agrees on
    /// `features`.
    pub fn create(features: Features) -> Result<Self, Error> {
        let device = OpenOptions::new().read(true).write(true).open(DEVICE);
        let this = match device {
            Ok(device) => Self::through_device(device.as_fd())?,
            Err(_) => Self::through_system_call()?,
        };
        this.agree(features)?;
        Ok(this)
    }

    /// Makes one through an open `/dev/userfaultfd`, and agrees on `features`. It needs no privilege.
    pub fn create_through(device: BorrowedFd<'_>, features: Features) -> Result<Self, Error> {
        let this = Self::through_device(device)?;
        this.agree(features)?;
        Ok(this)
    }

    fn through_device(device: BorrowedFd<'_>) -> Result<Self, Error> {
        // SAFETY: the argument is flags, the kernel touches no memory.
        let raw = unsafe {
            abi::userfaultfd_ioc_new(device.as_raw_fd(), libc::O_CLOEXEC | libc::O_NONBLOCK)
        }
        .map_err(|errno| Error::Create(errno.into()))?;
        // SAFETY: the kernel opened this descriptor for this call; nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { fd })
    }

    fn through_system_call() -> Result<Self, Error> {
        // SAFETY: the argument is flags, the kernel touches no memory.
        let raw =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let raw = Errno::result(raw).map_err(|errno| Error::Create(errno.into()))?;
        // SAFETY: the kernel opened this descriptor for this call; nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw as i32) };
        Ok(Self { fd })
    }

    fn agree(&self, features: Features) -> Result<(), Error> {
        let mut request = abi::UffdioApi {
            api: abi::API,
            features: features.0,
            ioctls: 0,
        };
        // SAFETY: the descriptor is open, `request` is a whole uffdio_api that outlives the call.
        unsafe { abi::uffdio_api(self.fd.as_raw_fd(), &raw mut request) }.map_err(|errno| {
            Error::Api {
                features: features.0,
                source: errno.into(),
            }
        })?;
        Ok(())
    }

    /// Takes a descriptor that somebody else made and registered. It becomes non-blocking, for its maker too:
    /// poll(2) on a blocking one only says `POLLERR`.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let target = std::fs::read_link(link).map_err(Error::Read)?;
        if target.as_os_str() != "anon_inode:[userfaultfd]" {
            return Err(Error::Other(target.display().to_string()));
        }
        let flags = rustix::fs::fcntl_getfl(&fd).map_err(|errno| Error::Read(errno.into()))?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)
            .map_err(|errno| Error::Read(errno.into()))?;
        Ok(Self { fd })
    }

    /// Has the first touch of every missing page of `mapping` wait for an installation.
    pub fn register_missing(&self, mapping: &Mapping) -> Result<(), Error> {
        let (address, length) = (mapping.address(), mapping.len() as u64);
        let mut request = abi::UffdioRegister {
            range: abi::UffdioRange {
                start: address,
                len: length,
            },
            mode: abi::REGISTER_MODE_MISSING,
            ioctls: 0,
        };
        // SAFETY: the descriptor is open, `request` is a whole uffdio_register that outlives the call. The
        // range is that of a mapping, whose bytes may change under its reader.
        unsafe { abi::uffdio_register(self.fd.as_raw_fd(), &raw mut request) }.map_err(
            |errno| Error::Register {
                address,
                length,
                source: errno.into(),
            },
        )?;
        Ok(())
    }

    /// Reads the messages that are there now; none is fine.
    pub fn read(&self, batch: &mut Batch) -> Result<Vec<Event>, Error> {
        match rustix::io::read(&self.fd, batch.bytes_mut()) {
            Ok(length) => Ok(batch.events(length)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(errno) => Err(Error::Read(errno.into())),
        }
    }

    /// Installs copies of `content` from `address` on. Both its place and its length are whole pages.
    pub fn copy(&self, address: u64, content: &[u8], wake: Wake) -> Result<Installed, Error> {
        // The kernel reads the content as it would for write(2).
        self.copy_from(
            address,
            abi::address_of(content.as_ptr().cast()),
            content.len() as u64,
            wake,
        )
    }

    /// Installs copies of `range` of `source` from `address` on. A part of a file that cannot be read is an
    /// error, not a signal.
    ///
    /// Panics if the range is not inside the mapping.
    pub fn copy_mapped(
        &self,
        address: u64,
        source: &Mapping,
        range: Range<usize>,
        wake: Wake,
    ) -> Result<Installed, Error> {
        assert!(
            range.start <= range.end && range.end <= source.len(),
            "{range:?} is not inside a mapping of {} bytes",
            source.len()
        );
        self.copy_from(
            address,
            source.address() + range.start as u64,
            range.len() as u64,
            wake,
        )
    }

    fn copy_from(
        &self,
        address: u64,
        source: u64,
        length: u64,
        wake: Wake,
    ) -> Result<Installed, Error> {
        let mut request = abi::UffdioCopy {
            dst: address,
            src: source,
            len: length,
            mode: match wake {
                Wake::Now => 0,
                Wake::Later => abi::COPY_MODE_DONTWAKE,
            },
            copy: 0,
        };
        // SAFETY: the descriptor is open, `request` is a whole uffdio_copy that outlives the call. Both
        // callers have `length` readable bytes at `source`; the kernel writes only to missing pages of
        // registered ranges (see the module).
        let result = unsafe { abi::uffdio_copy(self.fd.as_raw_fd(), &raw mut request) };
        outcome("copy", address, length, request.copy, result)
    }

    /// Installs zero pages: until they are written they are all the same one. Huge pages have no such
    /// thing; copy zeros there.
    pub fn zero(&self, address: u64, length: u64, wake: Wake) -> Result<Installed, Error> {
        let mut request = abi::UffdioZeropage {
            range: abi::UffdioRange {
                start: address,
                len: length,
            },
            mode: match wake {
                Wake::Now => 0,
                Wake::Later => abi::ZEROPAGE_MODE_DONTWAKE,
            },
            zeropage: 0,
        };
        // SAFETY: the descriptor is open, `request` is a whole uffdio_zeropage that outlives the call; the
        // kernel writes only to missing pages of registered ranges (see the module).
        let result = unsafe { abi::uffdio_zeropage(self.fd.as_raw_fd(), &raw mut request) };
        outcome("zero", address, length, request.zeropage, result)
    }

    /// Lets the threads go on that wait for a page of the range.
    pub fn wake(&self, address: u64, length: u64) -> Result<(), Error> {
        let mut request = abi::UffdioRange {
            start: address,
            len: length,
        };
        // SAFETY: the descriptor is open, `request` is a whole uffdio_range that outlives the call.
        unsafe { abi::uffdio_wake(self.fd.as_raw_fd(), &raw mut request) }.map_err(|errno| {
            Error::Install {
                step: "wake",
                address,
                length,
                source: errno.into(),
            }
        })?;
        Ok(())
    }
}

impl AsFd for Userfaultfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Userfaultfd> for OwnedFd {
    fn from(this: Userfaultfd) -> Self {
        this.fd
    }
}

/// The kernel puts the bytes done, or the negative error, beside its return value; a part done comes with
/// `EAGAIN` whatever ended it.
fn outcome(
    step: &'static str,
    address: u64,
    length: u64,
    done: i64,
    result: nix::Result<i32>,
) -> Result<Installed, Error> {
    let stop = match result {
        Ok(_) => {
            return Ok(Installed {
                bytes: length,
                stop: None,
            });
        }
        Err(Errno::EEXIST) => Stop::Exists,
        Err(Errno::EAGAIN) => Stop::Again,
        Err(Errno::ENOENT) => Stop::Unregistered,
        Err(Errno::ESRCH) => Stop::Gone,
        Err(errno) => {
            return Err(Error::Install {
                step,
                address,
                length,
                source: errno.into(),
            });
        }
    };
    Ok(Installed {
        bytes: u64::try_from(done).unwrap_or(0),
        stop: Some(stop),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_before_an_interruption_counts() {
        let installed = outcome("copy", 0, 8192, 4096, Err(Errno::EAGAIN)).unwrap();
        assert_eq!(
            installed,
            Installed {
                bytes: 4096,
                stop: Some(Stop::Again)
            }
        );
    }

    #[test]
    fn an_error_in_the_place_of_the_bytes_is_no_progress() {
        let installed = outcome("copy", 0, 8192, -17, Err(Errno::EEXIST)).unwrap();
        assert_eq!(
            installed,
            Installed {
                bytes: 0,
                stop: Some(Stop::Exists)
            }
        );
    }

    #[test]
    fn a_source_that_cannot_be_read_is_an_error_that_says_where() {
        let error = outcome("copy", 0x1000, 4096, -14, Err(Errno::EFAULT)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot copy 4096 bytes at 0x1000 through a userfaultfd"
        );
    }
}
