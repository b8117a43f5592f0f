//! A memory file whose every page can be told.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use memory::working_set::Binding;
use memory::{MemoryFile, PageSet, Run};
use tempfile::TempDir;

pub(crate) const SNAPSHOT: Binding = Binding([0x5a; 32]);

/// A snapshot on a disk: every fourth page is a hole, every fifth has been written with zeros.
pub(crate) struct Snapshot {
    pub(crate) folder: TempDir,
    pub(crate) memory: Arc<MemoryFile>,
    pub(crate) pages: u64,
    page_bytes: u64,
}

impl Snapshot {
    pub(crate) fn new(pages: u64) -> Self {
        Self::with(pages, 4096)
    }

    pub(crate) fn with(pages: u64, page_bytes: u64) -> Self {
        Self::of(pages, page_bytes, |page| page % 4 != 3)
    }

    /// A snapshot that is one hole.
    pub(crate) fn hollow(pages: u64) -> Self {
        Self::of(pages, 4096, |_| false)
    }

    fn of(pages: u64, page_bytes: u64, written: impl Fn(u64) -> bool) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("memory");
        let file = File::create_new(&path).unwrap();
        file.set_len(pages * page_bytes).unwrap();
        for page in (0..pages).filter(|page| written(*page)) {
            file.write_all_at(&content(page), page * page_bytes)
                .unwrap();
        }
        Self {
            memory: Arc::new(MemoryFile::open(&path).unwrap()),
            folder,
            pages,
            page_bytes,
        }
    }

    pub(crate) fn working_set(&self) -> PathBuf {
        self.folder.path().join("working-set")
    }

    pub(crate) fn set(&self, runs: &[(u64, u64)]) -> PageSet {
        let runs = runs.iter().map(|(first, pages)| Run {
            first: *first,
            pages: *pages,
        });
        PageSet::of(self.pages, runs)
    }

    /// Writes a working set of these runs.
    pub(crate) fn record(&self, runs: &[(u64, u64)]) -> memory::working_set::Stored {
        let set = self.set(runs);
        memory::working_set::write(&self.working_set(), &SNAPSHOT, &set, &self.memory).unwrap()
    }

    pub(crate) fn memory_path(&self) -> PathBuf {
        self.folder.path().join("memory")
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.pages * self.page_bytes
    }
}

/// Whether a page is all zero, in a hole or not.
pub(crate) fn is_zero(page: u64) -> bool {
    page % 4 == 3 || page % 5 == 4
}

/// The first 4 KiB of a page. No two pages that are not zero have the same.
pub(crate) fn content(page: u64) -> Vec<u8> {
    if is_zero(page) {
        return vec![0; 4096];
    }
    let word = (page + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.repeat(4096 / 8)
}

/// How many of the pages are not zero.
pub(crate) fn data_pages(pages: impl IntoIterator<Item = u64>) -> u64 {
    pages.into_iter().filter(|page| !is_zero(*page)).count() as u64
}
