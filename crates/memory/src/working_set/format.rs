//! The header, encoded and parsed; no I/O.
//!
//! All numbers are little-endian.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `vhive-ws` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | page size in bytes |
//! | 16 | 32 | the snapshot it belongs to |
//! | 48 | 8 | pages of the memory file |
//! | 56 | 8 | pages of content |
//! | 64 | 4 | data runs |
//! | 68 | 4 | zero runs |
//! | 72 | 4 | pages per checksum |
//! | 76 | 4 | CRC-32 of the header without these four bytes and the padding |
//!
//! Then the runs, each the number of its first page and its pages (4 bytes each), in order and apart; then a CRC-32
//! for each `pages per checksum` pages of content; then zeros up to the next multiple of 4096, where content begins.
//!
//! CRC-32 finds what a disk or a crash does to a file at memory speed. It is no protection against somebody
//! who writes it: who can do that can write the memory file beside it.

use crate::layout::PageSize;
use crate::page_set::{PageSet, Run};

const MAGIC: &[u8; 8] = b"vhive-ws";
const VERSION: u32 = 1;
/// Bytes of the fixed part.
const FIXED: usize = 80;
const CHECKSUM_AT: usize = 76;
const RUN: u64 = 8;
const ALIGNMENT: u64 = sys::direct_io::ALIGNMENT as u64;
/// Longest header taken, in bytes: more runs than a memory of 32 GiB can have.
pub(crate) const MAX_HEADER: u64 = 64 << 20;
/// Most content that one checksum covers, in bytes.
const MAX_CHUNK: u64 = 16 << 20;

/// Which snapshot a working set belongs to: a digest of what identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Binding(pub [u8; 32]);

/// A file is no working set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormatError {
    /// It starts with something else.
    #[error("it does not start as a working set does")]
    Magic,
    /// It was written by another version.
    #[error("it has version {0}; only version 1 can be read")]
    Version(u32),
    /// More of it must be read first.
    #[error("its header has {needed} bytes, of which {given} were given")]
    Short {
        /// Bytes of the header.
        needed: u64,
        /// Bytes given.
        given: u64,
    },
    /// Its header would be larger than any memory needs.
    #[error("its header has {0} bytes, more than any memory needs")]
    TooLarge(u64),
    /// Its header changed since it was written.
    #[error("its header does not have the checksum that it says")]
    Checksum,
    /// A number is none that it can be.
    #[error("its {field} cannot be {value}")]
    Number {
        /// What the number is.
        field: &'static str,
        /// What it says.
        value: u64,
    },
    /// A run is empty, overlaps another, or is not where its order wants it.
    #[error("its {table} runs are not in order and apart, from page {first} on")]
    Runs {
        /// Data or zero.
        table: &'static str,
        /// The first page of the run that is wrong.
        first: u64,
    },
    /// A page is both.
    #[error("its page {page} is in a data run and in a zero run")]
    Both {
        /// The page.
        page: u64,
    },
    /// The content is cut off, or something follows it.
    #[error("it has {file} bytes, where its header says {expected}")]
    Length {
        /// Bytes of the file.
        file: u64,
        /// Bytes its header says.
        expected: u64,
    },
}

/// What a working set holds, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub(super) binding: Binding,
    pub(super) page_size: PageSize,
    pub(super) memory_pages: u64,
    pub(super) data: Vec<Run>,
    pub(super) zero: Vec<Run>,
    pub(super) chunk_pages: u64,
    pub(super) checksums: Vec<u32>,
}

impl Header {
    /// Parses the start of a file of `file` bytes. With too little of it the error is [`FormatError::Short`].
    pub fn parse(bytes: &[u8], file: u64) -> Result<Self, FormatError> {
        let Some((fixed, _)) = bytes.split_first_chunk::<FIXED>() else {
            if file < FIXED as u64 || !bytes.starts_with(&MAGIC[..bytes.len().min(8)]) {
                return Err(FormatError::Magic);
            }
            return Err(FormatError::Short {
                needed: FIXED as u64,
                given: bytes.len() as u64,
            });
        };
        if &fixed[..8] != MAGIC {
            return Err(FormatError::Magic);
        }
        let version = u32_at(fixed, 8);
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        let number = |field, value| FormatError::Number { field, value };
        let page_bytes = u64::from(u32_at(fixed, 12));
        let page_size = PageSize::of(page_bytes).ok_or(number("page size", page_bytes))?;
        let mut binding = Binding([0; 32]);
        binding.0.copy_from_slice(&fixed[16..48]);
        let memory_pages = u64_at(fixed, 48);
        // Runs number their pages with 32 bits.
        if memory_pages == 0 || memory_pages > u64::from(u32::MAX) {
            return Err(number("memory size in pages", memory_pages));
        }
        let content_pages = u64_at(fixed, 56);
        if content_pages > memory_pages {
            return Err(number("content in pages", content_pages));
        }
        let chunk_pages = u64::from(u32_at(fixed, 72));
        if chunk_pages == 0 || chunk_pages * page_bytes > MAX_CHUNK {
            return Err(number("pages per checksum", chunk_pages));
        }
        let (data_runs, zero_runs) = (u64::from(u32_at(fixed, 64)), u64::from(u32_at(fixed, 68)));
        let checksums = content_pages.div_ceil(chunk_pages);
        let end = FIXED as u64 + RUN * (data_runs + zero_runs) + 4 * checksums;
        let content_offset = end.next_multiple_of(ALIGNMENT);
        if content_offset > MAX_HEADER {
            return Err(FormatError::TooLarge(content_offset));
        }
        let expected = content_offset + content_pages * page_bytes;
        if file != expected {
            return Err(FormatError::Length { file, expected });
        }
        let Some(table) = bytes.get(FIXED..end as usize) else {
            return Err(FormatError::Short {
                needed: content_offset,
                given: bytes.len() as u64,
            });
        };
        if u32_at(fixed, CHECKSUM_AT) != checksum(fixed, table) {
            return Err(FormatError::Checksum);
        }
        let (runs, sums) = table.split_at((RUN * (data_runs + zero_runs)) as usize);
        let (data, zero) = runs.split_at((RUN * data_runs) as usize);
        let header = Self {
            binding,
            page_size,
            memory_pages,
            data: runs_of(data, "data", memory_pages)?,
            zero: runs_of(zero, "zero", memory_pages)?,
            chunk_pages,
            checksums: sums
                .as_chunks()
                .0
                .iter()
                .map(|sum| u32::from_le_bytes(*sum))
                .collect(),
        };
        if header.content_pages() != content_pages {
            return Err(number("content in pages", content_pages));
        }
        header.no_page_is_both()?;
        Ok(header)
    }

    fn no_page_is_both(&self) -> Result<(), FormatError> {
        let mut zero = self.zero.iter().peekable();
        for data in &self.data {
            while zero.next_if(|run| run.range().end <= data.first).is_some() {}
            if let Some(run) = zero.peek()
                && run.first < data.range().end
            {
                return Err(FormatError::Both {
                    page: run.first.max(data.first),
                });
            }
        }
        Ok(())
    }

    /// The header as it is written, up to where content begins.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.content_offset() as usize);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.page_size.bytes() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.binding.0);
        bytes.extend_from_slice(&self.memory_pages.to_le_bytes());
        bytes.extend_from_slice(&self.content_pages().to_le_bytes());
        bytes.extend_from_slice(&(self.data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.zero.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.chunk_pages as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for run in self.data.iter().chain(&self.zero) {
            bytes.extend_from_slice(&(run.first as u32).to_le_bytes());
            bytes.extend_from_slice(&(run.pages as u32).to_le_bytes());
        }
        for sum in &self.checksums {
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        let (fixed, table) = bytes.split_at(FIXED);
        let sum = checksum(fixed, table);
        bytes[CHECKSUM_AT..FIXED].copy_from_slice(&sum.to_le_bytes());
        bytes.resize(self.content_offset() as usize, 0);
        bytes
    }

    /// The snapshot it belongs to.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The guest's pages.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Pages of the memory file it was recorded from.
    pub fn memory_pages(&self) -> u64 {
        self.memory_pages
    }

    /// The runs whose pages have content, in order and apart.
    pub fn data_runs(&self) -> &[Run] {
        &self.data
    }

    /// The runs whose pages are all zero, in order and apart.
    pub fn zero_runs(&self) -> &[Run] {
        &self.zero
    }

    /// Pages with content.
    pub fn content_pages(&self) -> u64 {
        self.data.iter().map(|run| run.pages).sum()
    }

    /// Pages that are all zero.
    pub fn zero_pages(&self) -> u64 {
        self.zero.iter().map(|run| run.pages).sum()
    }

    /// All pages of the set.
    pub fn pages(&self) -> PageSet {
        PageSet::of(
            self.memory_pages,
            self.data.iter().chain(&self.zero).copied(),
        )
    }

    /// Where content begins in the file.
    pub fn content_offset(&self) -> u64 {
        let runs = (self.data.len() + self.zero.len()) as u64;
        let end = FIXED as u64 + RUN * runs + 4 * self.checksums.len() as u64;
        end.next_multiple_of(ALIGNMENT)
    }

    /// Pieces of content that have a checksum of their own.
    pub fn chunks(&self) -> u64 {
        self.checksums.len() as u64
    }

    /// Pages per chunk; the last may have fewer.
    pub fn chunk_pages(&self) -> u64 {
        self.chunk_pages
    }

    /// The CRC-32 of chunk `index`.
    pub(super) fn chunk_checksum(&self, index: u64) -> Option<u32> {
        self.checksums.get(index as usize).copied()
    }

    /// Which pages the content of chunk `index` are, as runs in the order of the content.
    pub fn chunk_runs(&self, index: u64) -> Vec<Run> {
        let wanted = index * self.chunk_pages..(index + 1) * self.chunk_pages;
        let mut runs = Vec::new();
        let mut at = 0;
        for run in &self.data {
            let (start, end) = (at.max(wanted.start), (at + run.pages).min(wanted.end));
            if start < end {
                runs.push(Run {
                    first: run.first + (start - at),
                    pages: end - start,
                });
            }
            at += run.pages;
            if at >= wanted.end {
                break;
            }
        }
        runs
    }
}

fn runs_of(bytes: &[u8], table: &'static str, memory_pages: u64) -> Result<Vec<Run>, FormatError> {
    let mut runs = Vec::with_capacity(bytes.len() / RUN as usize);
    let mut earliest = 0;
    for entry in bytes.as_chunks::<{ RUN as usize }>().0 {
        let run = Run {
            first: u64::from(u32_at(entry, 0)),
            pages: u64::from(u32_at(entry, 4)),
        };
        if run.pages == 0 || run.first < earliest || run.range().end > memory_pages {
            return Err(FormatError::Runs {
                table,
                first: run.first,
            });
        }
        // Runs that touch would be one.
        earliest = run.range().end + 1;
        runs.push(run);
    }
    Ok(runs)
}

fn checksum(fixed: &[u8], table: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&fixed[..CHECKSUM_AT]);
    hasher.update(table);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            binding: Binding([9; 32]),
            page_size: PageSize::Base,
            memory_pages: 100,
            data: vec![
                Run { first: 2, pages: 3 },
                Run {
                    first: 50,
                    pages: 50,
                },
            ],
            zero: vec![
                Run { first: 5, pages: 1 },
                Run {
                    first: 20,
                    pages: 4,
                },
            ],
            chunk_pages: 16,
            checksums: vec![1, 2, 3, 4],
        }
    }

    fn file_of(header: &Header) -> u64 {
        header.content_offset() + header.content_pages() * header.page_size.bytes()
    }

    /// Parses after `change`, with the checksum made right again.
    fn parse_changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Header, FormatError> {
        let header = header();
        let mut bytes = header.encode();
        change(&mut bytes);
        let end = FIXED + 4 * 8 + 4 * 4;
        let sum = checksum(&bytes[..FIXED], &bytes[FIXED..end]);
        bytes[CHECKSUM_AT..FIXED].copy_from_slice(&sum.to_le_bytes());
        Header::parse(&bytes, file_of(&header))
    }

    #[test]
    fn what_was_written_is_read() {
        let header = header();
        let bytes = header.encode();
        assert_eq!(bytes.len(), 4096);
        assert_eq!(Header::parse(&bytes, file_of(&header)), Ok(header.clone()));
        assert_eq!((header.content_pages(), header.zero_pages()), (53, 5));
        assert_eq!(header.pages().len(), 58);
    }

    #[test]
    fn a_chunk_is_runs_in_the_order_of_the_content() {
        let header = header();
        let run = |first, pages| Run { first, pages };
        assert_eq!(header.chunk_runs(0), [run(2, 3), run(50, 13)]);
        assert_eq!(header.chunk_runs(1), [run(63, 16)]);
        assert_eq!(header.chunk_runs(3), [run(95, 5)]);
        assert_eq!(header.chunk_runs(4), []);
    }

    #[test]
    fn any_changed_bit_of_the_header_is_found() {
        let header = header();
        let bytes = header.encode();
        for bit in 0..(FIXED + 4 * 8 + 4 * 4) * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&changed, file_of(&header)).is_err(), "{bit}");
        }
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_by_name() {
        assert_eq!(Header::parse(b"", 0), Err(FormatError::Magic));
        assert_eq!(Header::parse(&[0; 4096], 4096), Err(FormatError::Magic));
        assert_eq!(
            parse_changed(|bytes| bytes[8] = 2),
            Err(FormatError::Version(2))
        );
    }

    #[test]
    fn a_part_of_the_header_asks_for_the_rest() {
        let header = header();
        let bytes = header.encode();
        for given in [8, FIXED - 1] {
            assert_eq!(
                Header::parse(&bytes[..given], file_of(&header)),
                Err(FormatError::Short {
                    needed: FIXED as u64,
                    given: given as u64
                })
            );
        }
        assert_eq!(
            Header::parse(&bytes[..FIXED], file_of(&header)),
            Err(FormatError::Short {
                needed: 4096,
                given: FIXED as u64
            })
        );
    }

    #[test]
    fn a_file_that_is_cut_off_or_goes_on_is_refused_by_name() {
        let header = header();
        let bytes = header.encode();
        let expected = file_of(&header);
        for file in [expected - 4096, expected + 1] {
            assert_eq!(
                Header::parse(&bytes, file),
                Err(FormatError::Length { file, expected })
            );
        }
    }

    #[test]
    fn runs_outside_of_the_memory_or_out_of_order_are_refused_by_name() {
        let runs = |table, first| Err(FormatError::Runs { table, first });
        // The first data run is empty, starts after the second, or touches it.
        assert_eq!(parse_changed(|bytes| bytes[84] = 0), runs("data", 2));
        assert_eq!(parse_changed(|bytes| bytes[80] = 60), runs("data", 50));
        assert_eq!(parse_changed(|bytes| bytes[80] = 47), runs("data", 50));
        // The last ends outside.
        assert_eq!(parse_changed(|bytes| bytes[92] = 51), runs("data", 50));
        assert_eq!(parse_changed(|bytes| bytes[104] = 4), runs("zero", 4));
        // A zero run reaches into a data run.
        assert_eq!(
            parse_changed(|bytes| bytes[108] = 40),
            Err(FormatError::Both { page: 50 })
        );
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_by_name() {
        let number = |field, value| Err(FormatError::Number { field, value });
        assert_eq!(parse_changed(|bytes| bytes[13] = 0), number("page size", 0));
        assert_eq!(
            parse_changed(|bytes| bytes[48] = 0),
            number("memory size in pages", 0)
        );
        assert_eq!(
            parse_changed(|bytes| bytes[56] = 101),
            number("content in pages", 101)
        );
        assert_eq!(
            parse_changed(|bytes| bytes[72] = 0),
            number("pages per checksum", 0)
        );
        assert!(matches!(
            parse_changed(|bytes| bytes[67] = 0x7f),
            Err(FormatError::TooLarge(_))
        ));
    }

    proptest! {
        #[test]
        fn every_set_survives_being_written_down(
            pages in prop::collection::vec(0u8..3, 1..300),
            chunk_pages in 1u64..40,
        ) {
            let set_of = |kind| {
                let mut set = PageSet::new(pages.len() as u64);
                for (page, _) in pages.iter().enumerate().filter(|(_, is)| **is == kind) {
                    set.insert(page as u64);
                }
                set
            };
            let data = set_of(1);
            let header = Header {
                binding: Binding([1; 32]),
                page_size: PageSize::Base,
                memory_pages: pages.len() as u64,
                data: data.runs().collect(),
                zero: set_of(2).runs().collect(),
                chunk_pages,
                checksums: vec![7; data.len().div_ceil(chunk_pages) as usize],
            };
            let parsed = Header::parse(&header.encode(), file_of(&header));
            prop_assert_eq!(parsed, Ok(header.clone()));
            // The chunks are all data, in order.
            let listed: Vec<u64> = (0..header.chunks())
                .flat_map(|chunk| header.chunk_runs(chunk))
                .flat_map(|run| run.range())
                .collect();
            let expected: Vec<u64> = data.runs().flat_map(|run| run.range()).collect();
            prop_assert_eq!(listed, expected);
        }

        #[test]
        fn whatever_is_parsed_stays_inside_its_bounds(
            mut bytes in Just(header().encode()),
            changes in prop::collection::vec((0usize..128, any::<u8>()), 1..6),
        ) {
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            let sum = checksum(&bytes[..FIXED], &bytes[FIXED..FIXED + 48]);
            bytes[CHECKSUM_AT..FIXED].copy_from_slice(&sum.to_le_bytes());
            if let Ok(parsed) = Header::parse(&bytes, file_of(&header())) {
                prop_assert!(parsed.pages().len() <= parsed.memory_pages());
                prop_assert_eq!(
                    parsed.pages().len(),
                    parsed.content_pages() + parsed.zero_pages()
                );
            }
        }
    }
}
