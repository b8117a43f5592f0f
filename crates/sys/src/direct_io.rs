//! Reads that go round the page cache (open(2), `O_DIRECT`), and the buffers they need.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use nix::libc;
use rustix::mm::{MapFlags, ProtFlags};

/// What places, lengths and addresses of direct reads are multiples of: enough for every disk.
pub const ALIGNMENT: usize = 4096;

/// A file could not be read directly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no memory to read into.
    #[error("cannot make a buffer of {length} bytes")]
    Memory {
        /// Bytes asked for.
        length: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file cannot be opened.
    #[error("cannot open {} for direct reading", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The read failed, or the file ends before its end.
    #[error("cannot read {length} bytes at {offset}")]
    Read {
        /// Bytes asked for.
        length: usize,
        /// Where in the file.
        offset: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The place or the length is no multiple of [`ALIGNMENT`].
    #[error("a direct read of {length} bytes at {offset} is not aligned to {ALIGNMENT}")]
    Unaligned {
        /// Bytes asked for.
        length: usize,
        /// Where in the file.
        offset: u64,
    },
}

/// Zeroed memory that starts at a page. The kernel provides it when it is first written.
#[derive(Debug)]
pub struct AlignedBuffer {
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: the buffer owns its memory, as a `Vec` does.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared references only read.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// A buffer of `length` zero bytes.
    pub fn new(length: usize) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error::Memory {
            length,
            source: errno.into(),
        };
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let pointer = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
        .map_err(failed)?;
        let address =
            NonNull::new(pointer.cast()).ok_or_else(|| failed(rustix::io::Errno::NOMEM))?;
        Ok(Self { address, length })
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is of that many initialised bytes, belongs to this buffer alone, and lives as
        // long as `self`.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.length) }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: the range is the one that was mapped, and nobody has a reference into it.
        let _ = unsafe { rustix::mm::munmap(self.address.as_ptr().cast(), self.length) };
    }
}

/// A file to read large pieces from.
#[derive(Debug)]
pub struct DirectFile {
    file: File,
}

impl DirectFile {
    /// Opens `path` for reading round the page cache, or through it where the file system knows no other way.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(path);
        let file = match direct {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => File::open(path),
            other => other,
        };
        file.map(|file| Self { file })
            .map_err(|source| Error::Open {
                path: path.to_owned(),
                source,
            })
    }

    /// Opens `path` for reading through the page cache.
    pub fn open_cached(path: &Path) -> Result<Self, Error> {
        File::open(path)
            .map(|file| Self { file })
            .map_err(|source| Error::Open {
                path: path.to_owned(),
                source,
            })
    }

    /// The file itself, for what is not reading.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Fills the first `length` bytes of `buffer` from `offset` on; both are multiples of [`ALIGNMENT`]. Panics if the
    /// buffer is shorter.
    pub fn read(
        &self,
        buffer: &mut AlignedBuffer,
        length: usize,
        offset: u64,
    ) -> Result<(), Error> {
        if !length.is_multiple_of(ALIGNMENT) || !offset.is_multiple_of(ALIGNMENT as u64) {
            return Err(Error::Unaligned { length, offset });
        }
        self.file
            .read_exact_at(&mut buffer[..length], offset)
            .map_err(|source| Error::Read {
                length,
                offset,
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_direct_read_brings_the_bytes_of_the_file() {
        let mut file = tempfile::NamedTempFile::new_in(std::env::current_dir().unwrap()).unwrap();
        file.write_all(&[1; ALIGNMENT]).unwrap();
        file.write_all(&[2; ALIGNMENT]).unwrap();
        file.as_file().sync_all().unwrap();

        let direct = DirectFile::open(file.path()).unwrap();
        let mut buffer = AlignedBuffer::new(2 * ALIGNMENT).unwrap();
        direct
            .read(&mut buffer, ALIGNMENT, ALIGNMENT as u64)
            .unwrap();
        assert!(buffer[..ALIGNMENT].iter().all(|byte| *byte == 2));
        assert!(buffer[ALIGNMENT..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_not_aligned_or_not_there_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new_in(std::env::current_dir().unwrap()).unwrap();
        let direct = DirectFile::open(file.path()).unwrap();
        let mut buffer = AlignedBuffer::new(2 * ALIGNMENT).unwrap();
        assert!(matches!(
            direct.read(&mut buffer, 100, 0),
            Err(Error::Unaligned { length: 100, .. })
        ));
        assert!(matches!(
            direct.read(&mut buffer, ALIGNMENT, 0),
            Err(Error::Read { .. })
        ));
    }
}
