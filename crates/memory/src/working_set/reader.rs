//! A working-set file, opened.

use std::io;
use std::path::{Path, PathBuf};

use sys::direct_io::{ALIGNMENT, AlignedBuffer, DirectFile, Error as DirectError};
use sys::page_cache;

use super::format::{Binding, FormatError, Header};

/// Enough for the header of most working sets: 8000 runs.
const FIRST_READ: u64 = 64 << 10;

/// A working set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read the working set {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: DirectError,
    },
    /// The size of the file is not known.
    #[error("cannot tell the size of the working set {}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is no working set.
    #[error("{} is no working set; record it again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FormatError,
    },
    /// The file belongs to another snapshot.
    #[error("the working set {} belongs to another snapshot; record it again", path.display())]
    OtherSnapshot {
        /// The file.
        path: PathBuf,
    },
    /// Content changed since it was written.
    #[error("chunk {chunk} of the working set {} does not have its checksum; record it again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Which piece of the content.
        chunk: u64,
    },
}

/// An open working set whose header has been checked.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: DirectFile,
    header: Header,
}

impl Reader {
    /// Opens the working set of the snapshot `binding` and reads its header. Content that is in the page cache will
    /// be read from there, other content round it.
    pub fn open(path: &Path, binding: &Binding) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = DirectFile::open(path).map_err(failed)?;
        let bytes = file
            .file()
            .metadata()
            .map_err(|source| ReadError::Size {
                path: path.to_owned(),
                source,
            })?
            .len();
        // Not knowing is no reason not to read.
        if page_cache::cached_pages(file.file(), 0..bytes).is_ok_and(|pages| pages * 4096 >= bytes)
        {
            file = DirectFile::open_cached(path).map_err(failed)?;
        }
        let header = read_header(&file, path, bytes)?;
        if header.binding() != binding {
            return Err(ReadError::OtherSnapshot {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
        })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of chunk `index`.
    pub(crate) fn chunk_bytes(&self, index: u64) -> usize {
        let header = &self.header;
        let left = header
            .content_pages()
            .saturating_sub(index * header.chunk_pages());
        (left.min(header.chunk_pages()) * header.page_size().bytes()) as usize
    }

    /// Reads chunk `index` into `buffer` from `at` on and compares its checksum.
    pub(crate) fn read_chunk(
        &self,
        index: u64,
        buffer: &mut AlignedBuffer,
    ) -> Result<(), ReadError> {
        let length = self.chunk_bytes(index);
        let place = index * self.header.chunk_pages() * self.header.page_size().bytes();
        self.file
            .read(buffer, length, self.header.content_offset() + place)
            .map_err(|source| ReadError::Io {
                path: self.path.clone(),
                source,
            })?;
        self.check(index, &buffer[..length])
    }

    /// Reads all content with one system call, and compares all checksums.
    pub(crate) fn read_all(&self) -> Result<Option<AlignedBuffer>, ReadError> {
        let length = (self.header.content_pages() * self.header.page_size().bytes()) as usize;
        if length == 0 {
            return Ok(None);
        }
        let failed = |source| ReadError::Io {
            path: self.path.clone(),
            source,
        };
        let mut buffer = AlignedBuffer::new(length).map_err(failed)?;
        self.file
            .read(&mut buffer, length, self.header.content_offset())
            .map_err(failed)?;
        let chunk = (self.header.chunk_pages() * self.header.page_size().bytes()) as usize;
        for (index, content) in buffer.chunks(chunk).enumerate() {
            self.check(index as u64, content)?;
        }
        Ok(Some(buffer))
    }

    /// Reads all content, and returns the first of its chunks that was damaged as an error.
    pub fn verify(&self) -> Result<(), ReadError> {
        self.read_all().map(drop)
    }

    fn check(&self, index: u64, content: &[u8]) -> Result<(), ReadError> {
        if self.header.chunk_checksum(index) == Some(crc32fast::hash(content)) {
            Ok(())
        } else {
            Err(ReadError::Checksum {
                path: self.path.clone(),
                chunk: index,
            })
        }
    }
}

fn read_header(file: &DirectFile, path: &Path, bytes: u64) -> Result<Header, ReadError> {
    let mut wanted = FIRST_READ;
    loop {
        // A direct read is of whole blocks. Of a file that ends inside one, the end is not looked at: its
        // length is wrong anyhow.
        let length = (wanted.min(bytes) / ALIGNMENT as u64 * ALIGNMENT as u64) as usize;
        let start = if length == 0 {
            None
        } else {
            let failed = |source| ReadError::Io {
                path: path.to_owned(),
                source,
            };
            let mut buffer = AlignedBuffer::new(length).map_err(failed)?;
            file.read(&mut buffer, length, 0).map_err(failed)?;
            Some(buffer)
        };
        match Header::parse(start.as_deref().unwrap_or_default(), bytes) {
            // It is at most MAX_HEADER and fits into the file, both of which were checked.
            Err(FormatError::Short { needed, .. }) if needed > wanted && needed <= bytes => {
                wanted = needed;
            }
            other => {
                return other.map_err(|source| ReadError::Format {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
}
