//! What of a file is in the page cache, and having it there or not.

use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use rustix::fs::Advice;

use crate::mapping::{self, Access, Mapping};

/// The page cache gave no answer or took no advice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pages cannot be counted.
    #[error("cannot tell which pages of bytes {range:?} of a file are in the page cache")]
    Count {
        /// Which bytes of the file.
        range: Range<u64>,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file cannot be mapped to look at its pages.
    #[error(transparent)]
    Map(#[from] mapping::Error),
    /// The advice was refused.
    #[error("cannot {step} bytes {range:?} of a file")]
    Advise {
        /// What was asked.
        step: &'static str,
        /// Which bytes of the file.
        range: Range<u64>,
        /// What the kernel said.
        source: io::Error,
    },
}

/// `struct cachestat_range` of linux/mman.h.
#[repr(C)]
struct CachestatRange {
    off: u64,
    len: u64,
}

/// `struct cachestat` of linux/mman.h.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    nr_cache: u64,
    nr_dirty: u64,
    nr_writeback: u64,
    nr_evicted: u64,
    nr_recently_evicted: u64,
}

/// cachestat(2) has this number on all architectures; since Linux 6.5.
const SYS_CACHESTAT: libc::c_long = 451;

/// How many pages (4 KiB) of the bytes `range` of `file` are in the page cache.
///
/// Before Linux 6.5 mincore(2) is asked, which only tells who could write to the file.
pub fn cached_pages(file: impl AsFd, range: Range<u64>) -> Result<u64, Error> {
    let file = file.as_fd();
    if range.is_empty() {
        // A length of 0 would mean up to the end.
        return Ok(0);
    }
    match cachestat(file, &range) {
        Ok(statistics) => Ok(statistics.nr_cache),
        Err(Errno::ENOSYS | Errno::EPERM) => mincore(file, &range),
        Err(errno) => Err(Error::Count {
            range,
            source: errno.into(),
        }),
    }
}

fn cachestat(file: BorrowedFd<'_>, range: &Range<u64>) -> nix::Result<Cachestat> {
    let bytes = CachestatRange {
        off: range.start,
        len: range.end - range.start,
    };
    let mut statistics = Cachestat::default();
    // SAFETY: the descriptor is open; both structures are whole and outlive the call, the kernel reads the
    // first and writes the second.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            &raw const bytes,
            &raw mut statistics,
            0,
        )
    };
    Errno::result(result).map(|_| statistics)
}

fn mincore(file: BorrowedFd<'_>, range: &Range<u64>) -> Result<u64, Error> {
    const PAGE: usize = 4096;
    let (first, end) = (range.start as usize / PAGE, range.end as usize);
    let mapping = Mapping::file(file, end, Access::Read)?;
    let mut present = vec![0u8; end.div_ceil(PAGE) - first];
    // SAFETY: the addresses are inside the mapping, and there is a byte in `present` for each of its pages
    // from the first on.
    let result = unsafe {
        libc::mincore(
            (mapping.address() as usize + first * PAGE) as *mut libc::c_void,
            end - first * PAGE,
            present.as_mut_ptr(),
        )
    };
    Errno::result(result).map_err(|errno| Error::Count {
        range: range.clone(),
        source: errno.into(),
    })?;
    Ok(present.iter().filter(|page| *page & 1 == 1).count() as u64)
}

/// Takes `file` out of the page cache, after writing what is dirty. Pages that somebody has mapped stay.
pub fn evict(file: impl AsFd) -> Result<(), Error> {
    let refused = |errno: rustix::io::Errno| Error::Advise {
        step: "evict",
        range: 0..u64::MAX,
        source: errno.into(),
    };
    rustix::fs::fdatasync(&file).map_err(refused)?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).map_err(refused)
}

/// Starts reading the bytes `range` of `file` into the page cache; does not wait for them.
pub fn read_ahead(file: impl AsFd, range: Range<u64>) -> Result<(), Error> {
    let Some(length) = NonZero::new(range.end.saturating_sub(range.start)) else {
        return Ok(());
    };
    rustix::fs::fadvise(file, range.start, Some(length), Advice::WillNeed).map_err(|errno| {
        Error::Advise {
            step: "read ahead",
            range,
            source: errno.into(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file on a disk: what lives in memory cannot be evicted.
    fn file_of(pages: usize) -> std::fs::File {
        let folder = std::env::current_dir().unwrap();
        let mut file = tempfile::tempfile_in(folder).unwrap();
        file.write_all(&vec![1; pages * 4096]).unwrap();
        file
    }

    #[test]
    fn what_was_just_written_is_in_the_page_cache_until_it_is_evicted() {
        let file = file_of(64);
        assert_eq!(cached_pages(&file, 0..64 * 4096).unwrap(), 64);
        assert_eq!(cached_pages(&file, 4096..3 * 4096).unwrap(), 2);
        evict(&file).unwrap();
        assert_eq!(cached_pages(&file, 0..64 * 4096).unwrap(), 0);
    }

    #[test]
    fn both_ways_to_count_agree() {
        let file = file_of(16);
        let whole = 0..16 * 4096;
        assert_eq!(mincore(file.as_fd(), &whole).unwrap(), 16);
        assert_eq!(cachestat(file.as_fd(), &whole).unwrap().nr_cache, 16);
        assert_eq!(mincore(file.as_fd(), &(8192..4 * 4096)).unwrap(), 2);
    }

    #[test]
    fn nothing_of_an_empty_range_is_cached() {
        assert_eq!(cached_pages(file_of(4), 4096..4096).unwrap(), 0);
    }

    #[test]
    fn reading_ahead_of_nothing_is_fine() {
        read_ahead(file_of(1), 0..0).unwrap();
    }
}
