//! What must hold for any input. The fuzz targets and a test on stable share it.

use memory::handshake;
use memory::working_set::Header;

/// A handshake that is taken covers the memory file once, whatever it says.
pub(crate) fn handshake(input: &[u8]) {
    for file in [4096, 3 * 4096, 2 << 20, 256 << 20] {
        let Ok(layout) = handshake::parse(input, file) else {
            continue;
        };
        let size = layout.page_size().bytes();
        assert_eq!(layout.pages() * size, file);
        let mut in_file: Vec<_> = layout
            .regions()
            .iter()
            .map(memory::Region::file_range)
            .collect();
        in_file.sort_by_key(|range| range.start);
        let mut end = 0;
        for range in in_file {
            assert_eq!(range.start, end);
            assert_eq!(range.start % size, 0);
            end = range.end;
        }
        assert_eq!(end, file);
        for pair in layout.regions().windows(2) {
            assert!(pair[0].addresses().end <= pair[1].addresses().start);
        }
    }
}

/// A working set that is taken stays inside its memory, and its chunks are its content. The input is the length of the
/// file (8 bytes, little-endian) and its start.
pub(crate) fn working_set(input: &[u8]) {
    let Some((length, start)) = input.split_first_chunk() else {
        return;
    };
    let length = u64::from_le_bytes(*length);
    check_header(start, length);
    // Nearly all changes are found by the checksum. Make it right, to see what is behind it.
    let mut start = start.to_vec();
    if make_checksum_right(&mut start) {
        check_header(&start, length);
    }
}

fn check_header(start: &[u8], length: u64) {
    let Ok(header) = Header::parse(start, length) else {
        return;
    };
    let pages = header.pages();
    assert_eq!(pages.len(), header.content_pages() + header.zero_pages());
    assert!(pages.len() <= header.memory_pages());
    assert_eq!(
        header.content_offset() + header.content_pages() * header.page_size().bytes(),
        length
    );
    // As many pages in a chunk as there are, and in their order.
    let mut next = 0;
    for chunk in 0..header.chunks().min(64) {
        let left = header.content_pages() - chunk * header.chunk_pages();
        let mut pages = 0;
        for run in header.chunk_runs(chunk) {
            assert!(run.first >= next);
            next = run.range().end;
            pages += run.pages;
        }
        assert_eq!(pages, left.min(header.chunk_pages()));
    }
}

/// The layout is described in `crates/memory/src/working_set/format.rs`.
fn make_checksum_right(start: &mut [u8]) -> bool {
    let number = |at: usize, bytes: usize| {
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(start.get(at..at + bytes)?);
        Some(u64::from_le_bytes(number))
    };
    let table = || {
        let runs = number(64, 4)? + number(68, 4)?;
        let chunk = number(72, 4).filter(|pages| *pages > 0)?;
        let checksums = number(56, 8)?.div_ceil(chunk);
        usize::try_from(checksums.checked_mul(4)?.checked_add(8 * runs)?).ok()
    };
    let Some(end) = table().and_then(|bytes| bytes.checked_add(80)) else {
        return false;
    };
    if end > start.len() {
        return false;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&start[..76]);
    hasher.update(&start[80..end]);
    let sum = hasher.finalize();
    start[76..80].copy_from_slice(&sum.to_le_bytes());
    true
}
