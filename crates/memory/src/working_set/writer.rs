//! A working set, written down.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::format::{Binding, Header};
use crate::layout::PageSize;
use crate::memory_file::MemoryFile;
use crate::page_set::{PageSet, Run};
use crate::zero::is_zero;

/// Bytes of content per checksum: large enough for the disk, small enough to be installed while the next are
/// read.
const CHUNK: u64 = 512 << 10;

/// How the names of files begin that are being written, beside their place. One that nobody writes is what a process left
/// that was killed, and may be removed.
pub const TEMPORARY: &str = ".working-set-";

/// A working set was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The set is not one of this memory file.
    #[error("a set of pages out of {pages} is not one of a memory file of {bytes} bytes")]
    OtherMemory {
        /// Pages that the set chooses from.
        pages: u64,
        /// Bytes of the memory file.
        bytes: u64,
    },
    /// The memory file cannot be read.
    #[error("cannot read {bytes} bytes at {offset} of the memory file {}", path.display())]
    Read {
        /// The memory file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Bytes.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The working set cannot be written.
    #[error("cannot {step} the working set {}", path.display())]
    Write {
        /// What was tried.
        step: &'static str,
        /// The working set.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Pages with content.
    pub data_pages: u64,
    /// Pages that are all zero.
    pub zero_pages: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes `pages` of `memory` to `path`, for the snapshot `binding`. It is there as a whole or not at all: it is
/// written beside its place, synced, and renamed. Only its owner may read it.
pub fn write(
    path: &Path,
    binding: &Binding,
    pages: &PageSet,
    memory: &MemoryFile,
) -> Result<Stored, WriteError> {
    let page_size = page_size_of(pages, memory)?;
    let (data, zero) = split(pages, memory, page_size)?;
    let content_pages: u64 = data.iter().map(|run| run.pages).sum();
    let chunk_pages = (CHUNK / page_size.bytes()).max(1);
    let mut header = Header {
        binding: *binding,
        page_size,
        memory_pages: pages.file_pages(),
        data,
        zero,
        chunk_pages,
        checksums: vec![0; content_pages.div_ceil(chunk_pages) as usize],
    };

    let failed = |step| {
        move |source| WriteError::Write {
            step,
            path: path.to_owned(),
            source,
        }
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
        .map_err(failed("make"))?;

    // The header's length is known, its checksums only after the content.
    let mut out = BufWriter::with_capacity(CHUNK as usize, temporary.as_file_mut());
    out.write_all(&header.encode()).map_err(failed("write"))?;
    let mut checksums = Vec::with_capacity(header.checksums.len());
    let mut buffer = Vec::new();
    for chunk in 0..header.chunks() {
        let mut hasher = crc32fast::Hasher::new();
        for run in header.chunk_runs(chunk) {
            let content = read(memory, run, page_size, &mut buffer)?;
            hasher.update(content);
            out.write_all(content).map_err(failed("write"))?;
        }
        checksums.push(hasher.finalize());
    }
    out.flush().map_err(failed("write"))?;
    drop(out);
    header.checksums = checksums;
    temporary
        .as_file()
        .write_all_at(&header.encode(), 0)
        .map_err(failed("write"))?;

    temporary.as_file().sync_all().map_err(failed("sync"))?;
    temporary
        .persist(path)
        .map_err(|error| failed("rename")(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync the folder of"))?;
    Ok(Stored {
        data_pages: content_pages,
        zero_pages: header.zero_pages(),
        bytes: header.content_offset() + content_pages * page_size.bytes(),
    })
}

fn page_size_of(pages: &PageSet, memory: &MemoryFile) -> Result<PageSize, WriteError> {
    [PageSize::Base, PageSize::Huge]
        .into_iter()
        .find(|size| pages.file_pages().checked_mul(size.bytes()) == Some(memory.bytes()))
        .ok_or(WriteError::OtherMemory {
            pages: pages.file_pages(),
            bytes: memory.bytes(),
        })
}

/// The runs with content and those without.
fn split(
    pages: &PageSet,
    memory: &MemoryFile,
    page_size: PageSize,
) -> Result<(Vec<Run>, Vec<Run>), WriteError> {
    let size = page_size.bytes();
    let mut data = PageSet::new(pages.file_pages());
    let mut zero = data.clone();
    let mut buffer = Vec::new();
    // A read of at most one chunk at a time.
    let step = (CHUNK / size).max(1);
    for run in pages.runs() {
        for first in run.range().step_by(step as usize) {
            let part = Run {
                first,
                pages: step.min(run.range().end - first),
            };
            if !memory.has_data(&(part.first * size..part.range().end * size)) {
                zero.insert_range(part.range());
                continue;
            }
            let content = read(memory, part, page_size, &mut buffer)?;
            for (page, bytes) in part.range().zip(content.chunks(size as usize)) {
                if bytes.chunks(4096).all(is_zero) {
                    zero.insert(page);
                } else {
                    data.insert(page);
                }
            }
        }
    }
    Ok((data.runs().collect(), zero.runs().collect()))
}

/// The pages of `run`, in `buffer`.
fn read<'a>(
    memory: &MemoryFile,
    run: Run,
    page_size: PageSize,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], WriteError> {
    let offset = run.first * page_size.bytes();
    buffer.resize((run.pages * page_size.bytes()) as usize, 0);
    memory
        .file()
        .read_exact_at(buffer, offset)
        .map_err(|source| WriteError::Read {
            path: memory.path().to_owned(),
            offset,
            bytes: buffer.len(),
            source,
        })?;
    Ok(buffer)
}
