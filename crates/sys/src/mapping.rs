//! Memory mappings whose bytes may change under their reader: other processes write shared ones, a page
//! server fills registered ones.
//!
//! Nobody gets a reference into one: bytes are loaded and stored one word at a time, atomically.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use nix::libc::c_void;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Memory could not be mapped or advised.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused the mapping.
    #[error("cannot map {length} bytes of {kind}")]
    Map {
        /// What was to be mapped.
        kind: &'static str,
        /// Bytes.
        length: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused the advice.
    #[error("cannot {step} bytes {range:?} of a mapping of {length} bytes")]
    Advise {
        /// What was asked.
        step: &'static str,
        /// Which bytes.
        range: Range<usize>,
        /// Bytes of the mapping.
        length: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The pages an anonymous mapping is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageSize {
    /// 4 KiB.
    Base,
    /// 2 MiB from the reserved pool (`/proc/sys/vm/nr_hugepages`).
    Huge,
}

/// What may be done with a mapping of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The bytes are only read.
    Read,
    /// Writes stay in this mapping.
    WritePrivate,
    /// Writes go to the file.
    WriteShared,
}

/// Mapped memory; unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    length: usize,
    writable: bool,
}

// SAFETY: the bytes are only accessed atomically or by the kernel.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` zero bytes of private memory, rounded by the kernel to whole pages.
    pub fn anonymous(length: usize, pages: PageSize) -> Result<Self, Error> {
        let (flags, kind) = match pages {
            PageSize::Base => (MapFlags::PRIVATE | MapFlags::NORESERVE, "memory"),
            PageSize::Huge => (
                MapFlags::PRIVATE | MapFlags::HUGETLB | MapFlags::HUGE_2MB,
                "memory in pages of 2 MiB (reserve some through /proc/sys/vm/nr_hugepages)",
            ),
        };
        let failed = |errno: rustix::io::Errno| Error::Map {
            kind,
            length,
            source: errno.into(),
        };
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let pointer = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )
        }
        .map_err(failed)?;
        Self::adopt(pointer, length, true).ok_or_else(|| failed(rustix::io::Errno::NOMEM))
    }

    /// Maps the first `length` bytes of `file`.
    pub fn file(file: impl AsFd, length: usize, access: Access) -> Result<Self, Error> {
        let (protection, flags) = match access {
            Access::Read => (ProtFlags::READ, MapFlags::SHARED),
            Access::WritePrivate => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE),
            Access::WriteShared => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED),
        };
        let failed = |errno: rustix::io::Errno| Error::Map {
            kind: "a file",
            length,
            source: errno.into(),
        };
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let pointer =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, protection, flags, file, 0) }
                .map_err(failed)?;
        Self::adopt(pointer, length, access != Access::Read)
            .ok_or_else(|| failed(rustix::io::Errno::NOMEM))
    }

    fn adopt(pointer: *mut c_void, length: usize, writable: bool) -> Option<Self> {
        Some(Self {
            address: NonNull::new(pointer.cast())?,
            length,
            writable,
        })
    }

    /// Where it is in this process.
    pub fn address(&self) -> u64 {
        self.address.as_ptr().addr() as u64
    }

    /// Bytes.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty mapping")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Reads one byte. Panics if there is none at `offset`.
    pub fn load(&self, offset: usize) -> u8 {
        assert!(offset < self.length, "{offset} is outside of the mapping");
        // SAFETY: the byte is inside the mapping, which lives as long as `self`; all accesses are atomic.
        unsafe { AtomicU8::from_ptr(self.address.as_ptr().add(offset)) }.load(Ordering::Relaxed)
    }

    /// Writes one byte. Panics if there is none at `offset`, or if the mapping may only be read.
    pub fn store(&self, offset: usize, byte: u8) {
        assert!(offset < self.length, "{offset} is outside of the mapping");
        assert!(self.writable, "the mapping may only be read");
        // SAFETY: the byte is inside the mapping, which lives as long as `self` and is writable; all
        // accesses are atomic.
        unsafe { AtomicU8::from_ptr(self.address.as_ptr().add(offset)) }
            .store(byte, Ordering::Relaxed);
    }

    /// Reads the bytes from `offset` on. Panics if they are not all inside, or `offset` is not a multiple of 8.
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        let end = offset.checked_add(to.len());
        assert!(
            end.is_some_and(|end| end <= self.length),
            "{} bytes at {offset} are not inside the mapping",
            to.len()
        );
        assert!(offset.is_multiple_of(8), "{offset} is not aligned");
        let whole = to.len() / 8 * 8;
        for (index, word) in to[..whole].chunks_exact_mut(8).enumerate() {
            // SAFETY: the word is inside the mapping, which starts at a page and lives as long as `self`;
            // with `offset` a multiple of 8 it is aligned. All accesses are atomic.
            let value = unsafe {
                AtomicU64::from_ptr(self.address.as_ptr().add(offset + 8 * index).cast())
            }
            .load(Ordering::Relaxed);
            word.copy_from_slice(&value.to_ne_bytes());
        }
        for (index, byte) in to[whole..].iter_mut().enumerate() {
            *byte = self.load(offset + whole + index);
        }
    }

    /// Gives the pages of `range` back (`MADV_DONTNEED`): anonymous ones are zero from now on.
    pub fn discard(&self, range: Range<usize>) -> Result<(), Error> {
        self.advise("discard", range, Advice::LinuxDontNeed)
    }

    fn advise(&self, step: &'static str, range: Range<usize>, advice: Advice) -> Result<(), Error> {
        let failed = |source: io::Error| Error::Advise {
            step,
            range: range.clone(),
            length: self.length,
            source,
        };
        if range.start > range.end || range.end > self.length {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        // SAFETY: the range is inside the mapping; nobody has a reference to its bytes, so that their
        // change surprises nobody.
        unsafe {
            rustix::mm::madvise(
                self.address.as_ptr().add(range.start).cast(),
                range.len(),
                advice,
            )
        }
        .map_err(|errno| failed(errno.into()))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the one that was mapped, and nobody has a reference into it.
        let _ = unsafe { rustix::mm::munmap(self.address.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memfd;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    #[test]
    fn private_writes_stay_in_the_mapping_and_shared_ones_reach_the_file() {
        let file = File::from(memfd::create("mapping", 8192).unwrap());
        file.write_all_at(b"snapshot", 4096).unwrap();

        let private = Mapping::file(&file, 8192, Access::WritePrivate).unwrap();
        private.store(4096, b'S');
        let shared = Mapping::file(&file, 8192, Access::WriteShared).unwrap();
        shared.store(0, b'!');

        let mut bytes = [0; 11];
        private.read(4096, &mut bytes);
        assert_eq!(&bytes, b"Snapshot\0\0\0");
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, 4096).unwrap();
        assert_eq!(&bytes, b"snapshot");
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"!\0\0\0\0\0\0\0");
    }

    #[test]
    fn discarded_memory_is_zero() {
        let mapping = Mapping::anonymous(8192, PageSize::Base).unwrap();
        mapping.store(4096, 7);
        mapping.discard(4096..8192).unwrap();
        assert_eq!(mapping.load(4096), 0);
    }

    #[test]
    fn a_range_outside_is_refused_by_name() {
        let mapping = Mapping::anonymous(8192, PageSize::Base).unwrap();
        let error = mapping.discard(4096..12288).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot discard bytes 4096..12288 of a mapping of 8192 bytes"
        );
    }
}
