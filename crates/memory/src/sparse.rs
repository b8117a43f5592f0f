//! Writing a memory file without its holes and zero pages.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes looked at together.
const PIECE: usize = 1 << 20;
const PAGE: usize = 4096;
pub(crate) const ZERO_PAGE: [u8; PAGE] = [0; PAGE];

/// A memory file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SparseError {
    /// The guest's RAM cannot be looked at.
    #[error("cannot find the used parts of the guest's RAM")]
    Segments(#[source] sys::sparse::Error),
    /// The size of the RAM is not known.
    #[error("cannot tell the size of the guest's RAM")]
    Size(#[source] io::Error),
    /// The RAM cannot be read.
    #[error("cannot read {bytes} bytes at {offset} of the guest's RAM")]
    Read {
        /// Where.
        offset: u64,
        /// Bytes.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The memory file cannot be written.
    #[error("cannot write {bytes} bytes at {offset} of the memory file")]
    Write {
        /// Where.
        offset: u64,
        /// Bytes.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Size of the guest's RAM, and of the file.
    pub bytes: u64,
    /// Bytes of the RAM that have been looked at or were holes.
    pub seen: u64,
    /// Bytes written: those on disk.
    pub stored: u64,
    /// Bytes that were zero without being a hole.
    pub zero: u64,
}

/// Copies the guest's RAM `from` (a memfd or a file) to the empty file `to`: holes stay holes, and pages that
/// are all zero become some. `progress` is called after every piece of at most 1 MiB.
///
/// It does not wait for the disk: the guest stands still while its RAM is read, so sync the file after it runs
/// again, and before the snapshot is committed.
pub fn write_sparse(
    from: &File,
    to: &File,
    mut progress: impl FnMut(Written),
) -> Result<Written, SparseError> {
    let bytes = from.metadata().map_err(SparseError::Size)?.len();
    let mut written = Written {
        bytes,
        ..Written::default()
    };
    to.set_len(bytes).map_err(|source| SparseError::Write {
        offset: bytes,
        bytes: 0,
        source,
    })?;
    let mut buffer = vec![0; PIECE];
    for segment in sys::sparse::data_segments(from).map_err(SparseError::Segments)? {
        // Segments of some file systems start inside a page.
        let mut offset = segment.start / PAGE as u64 * PAGE as u64;
        while offset < segment.end {
            let piece = &mut buffer[..PIECE.min((segment.end - offset) as usize)];
            from.read_exact_at(piece, offset)
                .map_err(|source| SparseError::Read {
                    offset,
                    bytes: piece.len(),
                    source,
                })?;
            let stored = store(piece, to, offset)?;
            written.stored += stored;
            written.zero += piece.len() as u64 - stored;
            offset += piece.len() as u64;
            written.seen = offset;
            progress(written);
        }
    }
    written.seen = bytes;
    progress(written);
    Ok(written)
}

/// Writes the pages of `piece` that are not zero, and says how many bytes that were.
fn store(piece: &[u8], to: &File, offset: u64) -> Result<u64, SparseError> {
    let mut stored = 0;
    let mut at = 0;
    for group in piece
        .chunks(PAGE)
        .collect::<Vec<_>>()
        .chunk_by(|a, b| is_zero(a) == is_zero(b))
    {
        let length: usize = group.iter().map(|page| page.len()).sum();
        if !is_zero(group[0]) {
            let place = offset + at as u64;
            to.write_all_at(&piece[at..at + length], place)
                .map_err(|source| SparseError::Write {
                    offset: place,
                    bytes: length,
                    source,
                })?;
            stored += length as u64;
        }
        at += length;
    }
    Ok(stored)
}

/// Whether a page, or the part of one at the end of a file, is all zero.
pub(crate) fn is_zero(page: &[u8]) -> bool {
    page == &ZERO_PAGE[..page.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::memfd;

    #[test]
    fn holes_and_zero_pages_take_no_space_and_the_rest_is_the_same() {
        let pages = 1000;
        let ram = File::from(memfd::create("ram", pages * PAGE as u64).unwrap());
        for page in [0, 3, 4, 5, 700, 999] {
            ram.write_all_at(&[page as u8 | 1; PAGE], page * PAGE as u64)
                .unwrap();
        }
        // Touched by the guest, and zero again.
        for page in [4, 100, 101] {
            ram.write_all_at(&ZERO_PAGE, page * PAGE as u64).unwrap();
        }
        let file = tempfile::tempfile_in(std::env::current_dir().unwrap()).unwrap();
        let mut steps = Vec::new();
        let written = write_sparse(&ram, &file, |step| steps.push(step)).unwrap();

        assert_eq!(written.bytes, pages * PAGE as u64);
        assert_eq!(written.seen, written.bytes);
        assert_eq!(written.stored, 5 * PAGE as u64);
        assert_eq!(written.zero, 3 * PAGE as u64);
        assert_eq!(steps.last(), Some(&written));
        assert!(steps.is_sorted_by_key(|step| step.stored));
        assert_eq!(sys::sparse::size_on_disk(&file).unwrap(), written.stored);

        let mut expected = vec![0; written.bytes as usize];
        ram.read_exact_at(&mut expected, 0).unwrap();
        let mut found = vec![1; written.bytes as usize];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(expected == found);
    }
}
