//! A snapshot's memory file: mapped, and its holes known.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sys::mapping::{self, Access, Mapping};
use sys::sparse;

use crate::layout::PageSize;
use crate::page_set::PageSet;

/// A memory file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryFileError {
    /// The file cannot be opened or looked at.
    #[error("cannot open the memory file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Guest memory is whole pages.
    #[error("the memory file {} has {bytes} bytes, which is not a whole number of pages above 0", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file cannot be mapped.
    #[error("cannot map the memory file {}", path.display())]
    Map {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: mapping::Error,
    },
    /// The holes cannot be found.
    #[error("cannot find the holes of the memory file {}", path.display())]
    Holes {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: sparse::Error,
    },
}

/// The memory that a snapshot's guests start with. It is only read, and must not change while it is served.
#[derive(Debug)]
pub struct MemoryFile {
    path: PathBuf,
    file: File,
    mapping: Mapping,
    /// Pages of 4 KiB that are not in a hole.
    data: PageSet,
}

impl MemoryFile {
    /// Opens and maps the file, and finds its holes.
    pub fn open(path: &Path) -> Result<Self, MemoryFileError> {
        let failed = |source| MemoryFileError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes == 0 || !bytes.is_multiple_of(PageSize::Base.bytes()) {
            return Err(MemoryFileError::Size {
                path: path.to_owned(),
                bytes,
            });
        }
        let mapping = Mapping::file(&file, bytes as usize, Access::Read).map_err(|source| {
            MemoryFileError::Map {
                path: path.to_owned(),
                source,
            }
        })?;
        let segments = sparse::data_segments(&file).map_err(|source| MemoryFileError::Holes {
            path: path.to_owned(),
            source,
        })?;
        let page = PageSize::Base.bytes();
        let mut data = PageSet::new(bytes / page);
        for segment in segments {
            data.insert_range(segment.start / page..segment.end.div_ceil(page));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            mapping,
            data,
        })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of guest memory.
    pub fn bytes(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// Pages of 4 KiB that are not in a hole.
    pub fn data(&self) -> &PageSet {
        &self.data
    }

    /// Takes it out of the page cache, for a measurement, and returns how many pages (4 KiB) stay because somebody else has
    /// mapped them. Who is served from it meanwhile only waits longer.
    pub fn evict(&self) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        self.mapping.discard(0..self.mapping.len())?;
        sys::page_cache::evict(&self.file)?;
        Ok(sys::page_cache::cached_pages(&self.file, 0..self.bytes())?)
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Whether any of `bytes` is not in a hole; in a hole all are zero.
    pub(crate) fn has_data(&self, bytes: &Range<u64>) -> bool {
        let page = PageSize::Base.bytes();
        self.data
            .contains_any(bytes.start / page..bytes.end.div_ceil(page))
    }
}
