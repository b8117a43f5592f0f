//! Where the guest's memory is: its regions in the hypervisor's address space, and in the memory file.

use std::ops::Range;

use crate::page_set::Run;

/// The pages the guest's memory is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageSize {
    /// 4 KiB.
    Base,
    /// 2 MiB.
    Huge,
}

impl PageSize {
    /// Bytes of a page.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Base => 4096,
            Self::Huge => 2 << 20,
        }
    }

    /// The size that has so many bytes.
    pub const fn of(bytes: u64) -> Option<Self> {
        match bytes {
            4096 => Some(Self::Base),
            0x20_0000 => Some(Self::Huge),
            _ => None,
        }
    }
}

/// A stretch of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where it starts in the hypervisor's address space.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Where it starts in the memory file, in bytes.
    pub offset: u64,
}

impl Region {
    /// The region's addresses.
    pub fn addresses(&self) -> Range<u64> {
        self.base..self.base + self.size
    }

    /// The region's bytes in the file.
    pub fn file_range(&self) -> Range<u64> {
        self.offset..self.offset + self.size
    }
}

/// All regions of a guest. They cover the memory file and do not overlap, in memory or in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// By address.
    by_address: Vec<Region>,
    /// By offset in the file.
    by_offset: Vec<Region>,
    page_size: PageSize,
}

/// Pages that follow each other both in the file and in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The pages.
    pub(crate) run: Run,
    /// The address of the first.
    pub(crate) address: u64,
}

impl Layout {
    /// The regions must have been checked.
    pub(crate) fn of_checked(regions: &[Region], page_size: PageSize) -> Self {
        let mut by_address = regions.to_vec();
        by_address.sort_by_key(|region| region.base);
        let mut by_offset = regions.to_vec();
        by_offset.sort_by_key(|region| region.offset);
        Self {
            by_address,
            by_offset,
            page_size,
        }
    }

    /// The regions, by address.
    pub fn regions(&self) -> &[Region] {
        &self.by_address
    }

    /// The pages' size.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Pages of the memory file.
    pub fn pages(&self) -> u64 {
        let bytes: u64 = self.by_offset.iter().map(|region| region.size).sum();
        bytes / self.page_size.bytes()
    }

    /// The page that `address` is in, and where that page starts.
    pub(crate) fn page_at(&self, address: u64) -> Option<(u64, u64)> {
        let size = self.page_size.bytes();
        let after = self
            .by_address
            .partition_point(|region| region.base <= address);
        let region = &self.by_address[after.checked_sub(1)?];
        let within = address - region.base;
        (within < region.size).then(|| ((region.offset + within) / size, address / size * size))
    }

    /// The pages that are wholly inside `addresses`, as a range per region.
    pub(crate) fn pages_inside(&self, addresses: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let size = self.page_size.bytes();
        let addresses = addresses.start.next_multiple_of(size)..addresses.end / size * size;
        self.by_address.iter().filter_map(move |region| {
            let start = addresses.start.max(region.base);
            let end = addresses.end.min(region.base + region.size);
            (start < end).then(|| {
                let first = (region.offset + (start - region.base)) / size;
                first..first + (end - start) / size
            })
        })
    }

    /// `run` cut where a region ends.
    pub(crate) fn stretches(&self, run: Run) -> impl Iterator<Item = Stretch> {
        let size = self.page_size.bytes();
        let from = self
            .by_offset
            .partition_point(|region| region.offset + region.size <= run.first * size);
        self.by_offset[from..].iter().map_while(move |region| {
            let pages = region.offset / size..(region.offset + region.size) / size;
            let first = run.first.max(pages.start);
            let end = run.range().end.min(pages.end);
            (first < end).then(|| Stretch {
                run: Run {
                    first,
                    pages: end - first,
                },
                address: region.base + (first - pages.start) * size,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two regions with a hole between them, the upper one first in the file.
    fn layout() -> Layout {
        let low = Region {
            base: 0x10_0000,
            size: 0x4000,
            offset: 0x2000,
        };
        let high = Region {
            base: 0x20_0000,
            size: 0x2000,
            offset: 0,
        };
        Layout::of_checked(&[low, high], PageSize::Base)
    }

    #[test]
    fn an_address_is_in_the_page_of_its_region() {
        let layout = layout();
        assert_eq!(layout.page_at(0x10_0000), Some((2, 0x10_0000)));
        assert_eq!(layout.page_at(0x10_3fff), Some((5, 0x10_3000)));
        assert_eq!(layout.page_at(0x20_1001), Some((1, 0x20_1000)));
        assert_eq!(layout.pages(), 6);
    }

    #[test]
    fn an_address_outside_is_in_no_page() {
        let layout = layout();
        for address in [0, 0xf_ffff, 0x10_4000, 0x1f_ffff, 0x20_2000, u64::MAX] {
            assert_eq!(layout.page_at(address), None, "{address:#x}");
        }
    }

    #[test]
    fn a_run_is_cut_where_memory_has_a_hole() {
        let layout = layout();
        let stretches: Vec<_> = layout.stretches(Run { first: 1, pages: 3 }).collect();
        assert_eq!(
            stretches,
            [
                Stretch {
                    run: Run { first: 1, pages: 1 },
                    address: 0x20_1000
                },
                Stretch {
                    run: Run { first: 2, pages: 2 },
                    address: 0x10_0000
                },
            ]
        );
    }

    #[test]
    fn only_whole_pages_are_inside_a_range() {
        let layout = layout();
        let pages: Vec<_> = layout.pages_inside(&(0x10_0001..0x10_2fff)).collect();
        assert_eq!(pages, vec![3..4; 1]);
        let pages: Vec<_> = layout.pages_inside(&(0x10_3000..0x20_1000)).collect();
        assert_eq!(pages, [5..6, 0..1]);
        assert_eq!(layout.pages_inside(&(0x10_0001..0x10_0002)).count(), 0);
    }
}
