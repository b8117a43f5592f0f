//! Pages that are all zero: they take no space, and are not read.

const PAGE: usize = 4096;
const ZERO_PAGE: [u8; PAGE] = [0; PAGE];

/// Whether a page, or the part of one at the end of a file, is all zero.
pub(crate) fn is_zero(page: &[u8]) -> bool {
    page == &ZERO_PAGE[..page.len()]
}
