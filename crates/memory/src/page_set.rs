//! Sets of pages of a memory file.

use std::ops::Range;

/// Pages that follow each other in the memory file. It holds at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first page: its offset in the file, in pages.
    pub first: u64,
    /// How many.
    pub pages: u64,
}

impl Run {
    /// The pages' numbers.
    pub fn range(&self) -> Range<u64> {
        self.first..self.first + self.pages
    }
}

/// A set of pages, as a bitmap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageSet {
    words: Vec<u64>,
    pages: u64,
    count: u64,
}

impl PageSet {
    /// The empty set of a file of `pages` pages.
    pub fn new(pages: u64) -> Self {
        Self {
            words: vec![0; pages.div_ceil(64) as usize],
            pages,
            count: 0,
        }
    }

    /// The pages of `runs`. Those past the end of the file are left out.
    pub fn of(pages: u64, runs: impl IntoIterator<Item = Run>) -> Self {
        let mut set = Self::new(pages);
        for run in runs {
            set.insert_range(run.range());
        }
        set
    }

    /// Pages of the file, in the set or not.
    pub fn file_pages(&self) -> u64 {
        self.pages
    }

    /// Pages in the set.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether no page is in the set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `page` is in the set.
    pub fn contains(&self, page: u64) -> bool {
        self.words
            .get((page / 64) as usize)
            .is_some_and(|word| word & (1 << (page % 64)) != 0)
    }

    /// Whether any of `pages` is in the set.
    pub fn contains_any(&self, pages: Range<u64>) -> bool {
        self.next(pages.start, true)
            .is_some_and(|page| page < pages.end)
    }

    /// Adds `page`; says whether it was not there. One past the end of the file is left out.
    pub fn insert(&mut self, page: u64) -> bool {
        if page >= self.pages {
            return false;
        }
        let word = &mut self.words[(page / 64) as usize];
        let bit = 1 << (page % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.count += u64::from(new);
        new
    }

    /// Adds `pages`. Those past the end of the file are left out.
    pub fn insert_range(&mut self, pages: Range<u64>) {
        let end = pages.end.min(self.pages);
        let mut page = pages.start;
        while page < end {
            let bit = page % 64;
            let here = (64 - bit).min(end - page);
            let mask = (u64::MAX >> (64 - here)) << bit;
            let word = &mut self.words[(page / 64) as usize];
            self.count += u64::from((mask & !*word).count_ones());
            *word |= mask;
            page += here;
        }
    }

    /// The pages in order, joined where they touch.
    pub fn runs(&self) -> Runs<'_> {
        self.runs_in(0..self.pages)
    }

    /// The part of the set inside `pages`, in order, joined where pages touch.
    pub fn runs_in(&self, pages: Range<u64>) -> Runs<'_> {
        Runs {
            set: self,
            at: pages.start,
            end: pages.end.min(self.pages),
        }
    }

    /// The first page from `from` on that is in the set (`present`) or not; `None` past the end.
    fn next(&self, from: u64, present: bool) -> Option<u64> {
        let flip = if present { 0 } else { u64::MAX };
        let mut index = (from / 64) as usize;
        let mut word = (self.words.get(index)? ^ flip) & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            word = self.words.get(index)? ^ flip;
        }
        let page = index as u64 * 64 + u64::from(word.trailing_zeros());
        (page < self.pages).then_some(page)
    }
}

/// The runs of a [`PageSet`].
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    set: &'a PageSet,
    at: u64,
    end: u64,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let first = self
            .set
            .next(self.at, true)
            .filter(|page| *page < self.end)?;
        let after = self.set.next(first, false).unwrap_or(self.set.pages);
        self.at = after.min(self.end);
        Some(Run {
            first,
            pages: self.at - first,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn runs(set: &PageSet) -> Vec<(u64, u64)> {
        set.runs().map(|run| (run.first, run.pages)).collect()
    }

    #[test]
    fn touching_pages_are_one_run() {
        let mut set = PageSet::new(200);
        for page in [63, 64, 65, 0, 199] {
            assert!(set.insert(page));
        }
        assert!(!set.insert(64));
        assert_eq!(runs(&set), [(0, 1), (63, 3), (199, 1)]);
        assert_eq!(set.len(), 5);
    }

    #[test]
    fn the_whole_file_is_one_run() {
        for pages in [1, 63, 64, 65, 128] {
            let set = PageSet::of(pages, [Run { first: 0, pages }]);
            assert_eq!(runs(&set), [(0, pages)]);
        }
    }

    #[test]
    fn pages_past_the_end_are_left_out() {
        let mut set = PageSet::new(10);
        assert!(!set.insert(10));
        set.insert_range(8..1000);
        assert_eq!(runs(&set), [(8, 2)]);
        assert!(!set.contains(10));
    }

    #[test]
    fn a_part_of_the_set_is_cut_at_both_ends() {
        let set = PageSet::of(
            100,
            [Run {
                first: 10,
                pages: 80,
            }],
        );
        let part: Vec<_> = set.runs_in(5..20).chain(set.runs_in(80..95)).collect();
        assert_eq!(
            part,
            [
                Run {
                    first: 10,
                    pages: 10
                },
                Run {
                    first: 80,
                    pages: 10
                }
            ]
        );
        assert!(set.contains_any(0..11));
        assert!(!set.contains_any(0..10));
        assert!(!set.contains_any(90..100));
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_into_it(
            pages in 1u64..400,
            ranges in prop::collection::vec((0u64..420, 0u64..70), 0..12),
        ) {
            let mut set = PageSet::new(pages);
            let mut model = BTreeSet::new();
            for (first, length) in ranges {
                set.insert_range(first..first + length);
                model.extend((first..first + length).filter(|page| *page < pages));
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            let listed: BTreeSet<u64> = set.runs().flat_map(|run| run.range()).collect();
            prop_assert_eq!(&listed, &model);
            prop_assert_eq!(&PageSet::of(pages, set.runs()), &set);
            let all: Vec<Run> = set.runs().collect();
            for pair in all.windows(2) {
                prop_assert!(pair[0].range().end < pair[1].first);
            }
        }
    }
}
