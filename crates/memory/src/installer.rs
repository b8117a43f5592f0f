//! Putting pages where a guest finds them.
//!
//! Two kinds of threads do it: one answers faults and reads the messages of the kernel, others install in bulk. A
//! page that the guest gave back must not be installed in bulk after the message about it was read, so bulk
//! installation holds `removed` for reading from the look at it to the end of its system call, and the reader of
//! messages holds it for writing while it reads. That is also what lets faults go first: a writer that waits keeps new
//! readers out, and system calls are short.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use sys::userfaultfd::{self, Batch, Event, Stop, Userfaultfd, Wake};

use crate::layout::{Layout, PageSize, Stretch};
use crate::memory_file::MemoryFile;
use crate::page_set::{PageSet, Run};
use crate::prefetch::PrefetchError;
use crate::working_set::ReadError;

/// Most bytes installed by one system call in bulk. A fault may wait for one.
const PART: u64 = 256 << 10;

/// What a page without content is copied from where it cannot be shared.
static ZEROS: [u8; PageSize::Huge.bytes() as usize] = [0; PageSize::Huge.bytes() as usize];

/// How long a process whose memory is changing gets to finish that, before the next attempt.
const GIVE_WAY: Duration = Duration::from_micros(50);

/// Pages were not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The guest is gone, or the server was stopped.
    #[error("the guest is no longer served")]
    Ended,
    /// The kernel refused.
    #[error("cannot install page {page}")]
    Kernel {
        /// Its number in the memory file.
        page: u64,
        /// What failed.
        source: userfaultfd::Error,
    },
    /// The working set could not be read. Its pages are left to faults.
    #[error("cannot read the working set ahead")]
    Prefetch(#[from] PrefetchError),
    /// The working set could not be read. Its pages are left to faults.
    #[error("cannot read the working set")]
    Read(#[from] ReadError),
    /// The working set is of a guest with other memory. Its pages are left to faults.
    #[error(
        "the working set is of {theirs} pages of {their_size} bytes, the guest has {ours} of {our_size}; record it again"
    )]
    OtherMemory {
        /// Pages of the memory it was recorded from.
        theirs: u64,
        /// Bytes of each.
        their_size: u64,
        /// Pages of the guest.
        ours: u64,
        /// Bytes of each.
        our_size: u64,
    },
    /// Content and run do not fit together.
    #[error("{bytes} bytes are not the content of {} pages from {} on", run.pages, run.first)]
    Content {
        /// The pages.
        run: Run,
        /// Bytes given.
        bytes: usize,
    },
}

impl InstallError {
    /// Whether the guest can still be served, page by page.
    pub(crate) fn is_harmless(&self) -> bool {
        match self {
            Self::Ended | Self::Kernel { .. } => false,
            Self::Prefetch(_) | Self::Read(_) | Self::OtherMemory { .. } | Self::Content { .. } => {
                true
            }
        }
    }
}

/// What became of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; the page has content.
    Copied,
    /// Done; the page is zero.
    Zeroed,
    /// Somebody was faster. Who waits was woken.
    Existed,
    /// Nobody can touch it any more.
    Unmapped,
    /// The process's memory is changing: read messages, then ask again.
    Again,
}

/// Counts of what was installed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bulk_pages: AtomicU64,
    pub(crate) bulk_zero_pages: AtomicU64,
    pub(crate) demand_pages: AtomicU64,
    pub(crate) demand_zero_pages: AtomicU64,
    pub(crate) existed: AtomicU64,
    pub(crate) again: AtomicU64,
}

/// The memory of one guest, to be filled. Policies install in bulk through it.
#[derive(Debug)]
pub struct Installer {
    uffd: Userfaultfd,
    layout: Layout,
    memory: Arc<MemoryFile>,
    removed: RwLock<PageSet>,
    ended: AtomicBool,
    pub(crate) counters: Counters,
}

/// Where pages come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Content(&'a [u8]),
    /// The memory file, at the page's own place.
    File,
    Zeros,
}

impl Installer {
    pub(crate) fn new(uffd: Userfaultfd, layout: Layout, memory: Arc<MemoryFile>) -> Self {
        let removed = RwLock::new(PageSet::new(layout.pages()));
        Self {
            uffd,
            layout,
            memory,
            removed,
            ended: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// Where the guest's memory is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The file the guest's memory comes from.
    pub fn memory(&self) -> &MemoryFile {
        &self.memory
    }

    /// Installs `content` as the pages of `run`. Pages that are there already, or that the guest gave back, are left
    /// alone.
    pub fn copy(&self, run: Run, content: &[u8]) -> Result<(), InstallError> {
        if run.pages.checked_mul(self.page_bytes()) != Some(content.len() as u64) {
            return Err(InstallError::Content {
                run,
                bytes: content.len(),
            });
        }
        self.bulk(run, Source::Content(content))
    }

    /// Installs the pages of `run` from the memory file.
    pub fn copy_from_file(&self, run: Run) -> Result<(), InstallError> {
        self.bulk(run, Source::File)
    }

    /// Makes the pages of `run` zero.
    pub fn zero(&self, run: Run) -> Result<(), InstallError> {
        self.bulk(run, Source::Zeros)
    }

    /// Whether nobody is served any more: bulk installation ends.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn uffd(&self) -> &Userfaultfd {
        &self.uffd
    }

    fn page_bytes(&self) -> u64 {
        self.layout.page_size().bytes()
    }

    fn bulk(&self, run: Run, source: Source<'_>) -> Result<(), InstallError> {
        for stretch in self.layout.stretches(run) {
            let source = match source {
                Source::Content(content) => {
                    let at = (stretch.run.first - run.first) * self.page_bytes();
                    let length = stretch.run.pages * self.page_bytes();
                    Source::Content(&content[at as usize..][..length as usize])
                }
                other => other,
            };
            self.bulk_stretch(stretch, source)?;
        }
        Ok(())
    }

    /// One wake for the stretch: by the system call itself if there is only one.
    fn bulk_stretch(&self, stretch: Stretch, source: Source<'_>) -> Result<(), InstallError> {
        let size = self.page_bytes();
        let part = (PART / size).max(1);
        let wake = if stretch.run.pages <= part {
            Wake::Now
        } else {
            Wake::Later
        };
        let pages = &match source {
            Source::Zeros => &self.counters.bulk_zero_pages,
            Source::Content(_) | Source::File => &self.counters.bulk_pages,
        };
        let mut done = 0;
        let mut attempts = 0;
        while done < stretch.run.pages {
            if self.ended() {
                return Err(InstallError::Ended);
            }
            let first = stretch.run.first + done;
            let wanted = first..first + part.min(stretch.run.pages - done);
            let removed = self.removed();
            let gone = removed.runs_in(wanted.clone()).next();
            let count = match gone {
                Some(gone) if gone.first == first => {
                    done += gone.pages;
                    continue;
                }
                Some(gone) => gone.first - first,
                None => wanted.end - first,
            };
            let installed = self
                .install(
                    stretch.address + done * size,
                    first,
                    count,
                    source,
                    done,
                    wake,
                )
                .map_err(|source| InstallError::Kernel {
                    page: first,
                    source,
                })?;
            drop(removed);

            let now = installed.bytes / size;
            pages.fetch_add(now, Ordering::Relaxed);
            done += now;
            match installed.stop {
                None => {}
                Some(Stop::Exists) => {
                    self.counters.existed.fetch_add(1, Ordering::Relaxed);
                    done += 1;
                }
                Some(Stop::Unregistered) => done += 1,
                Some(Stop::Gone) => return Err(InstallError::Ended),
                Some(Stop::Again) if now > 0 => {}
                Some(Stop::Again) => {
                    self.counters.again.fetch_add(1, Ordering::Relaxed);
                    attempts += 1;
                    give_way(attempts);
                    continue;
                }
            }
            attempts = 0;
        }
        if wake == Wake::Later {
            self.uffd
                .wake(stretch.address, stretch.run.pages * size)
                .map_err(|source| InstallError::Kernel {
                    page: stretch.run.first,
                    source,
                })?;
        }
        Ok(())
    }

    /// One system call for `count` pages from `page` on, the `done`-th of the source.
    fn install(
        &self,
        address: u64,
        page: u64,
        count: u64,
        source: Source<'_>,
        done: u64,
        wake: Wake,
    ) -> Result<userfaultfd::Installed, userfaultfd::Error> {
        let size = self.page_bytes();
        let length = count * size;
        match source {
            Source::Content(content) => {
                let at = (done * size) as usize;
                self.uffd
                    .copy(address, &content[at..at + length as usize], wake)
            }
            Source::File => {
                let at = (page * size) as usize;
                let mapping = self.memory.mapping();
                self.uffd
                    .copy_mapped(address, mapping, at..at + length as usize, wake)
            }
            Source::Zeros => match self.layout.page_size() {
                PageSize::Base => self.uffd.zero(address, length, wake),
                PageSize::Huge => self.uffd.copy(address, &ZEROS, wake),
            },
        }
    }

    /// Answers a fault on `page`, which is at `address`.
    ///
    /// Only the thread that reads messages may call it: it knows all pages that were given back.
    pub(crate) fn answer(
        &self,
        page: u64,
        address: u64,
        write: bool,
    ) -> Result<Answer, InstallError> {
        let size = self.page_bytes();
        let zero = self.removed().contains(page)
            || !self.memory.has_data(&(page * size..(page + 1) * size));
        let installed = if !zero {
            let at = (page * size) as usize;
            let range = at..at + size as usize;
            self.uffd
                .copy_mapped(address, self.memory.mapping(), range, Wake::Now)
        } else if write || self.layout.page_size() == PageSize::Huge {
            // A shared zero page would fault again at once.
            self.uffd.copy(address, &ZEROS[..size as usize], Wake::Now)
        } else {
            self.uffd.zero(address, size, Wake::Now)
        };
        let failed = |source| InstallError::Kernel { page, source };
        let installed = installed.map_err(failed)?;
        match installed.stop {
            None if zero => {
                self.counters
                    .demand_zero_pages
                    .fetch_add(1, Ordering::Relaxed);
                Ok(Answer::Zeroed)
            }
            None => {
                self.counters.demand_pages.fetch_add(1, Ordering::Relaxed);
                Ok(Answer::Copied)
            }
            Some(Stop::Exists) => {
                self.counters.existed.fetch_add(1, Ordering::Relaxed);
                self.uffd.wake(address, size).map_err(failed)?;
                Ok(Answer::Existed)
            }
            Some(Stop::Unregistered) => Ok(Answer::Unmapped),
            Some(Stop::Again) => {
                self.counters.again.fetch_add(1, Ordering::Relaxed);
                Ok(Answer::Again)
            }
            Some(Stop::Gone) => Err(InstallError::Ended),
        }
    }

    /// Reads the messages that are there, and takes note of the pages given back before anybody installs more.
    pub(crate) fn read_messages(
        &self,
        batch: &mut Batch,
    ) -> Result<Vec<Event>, userfaultfd::Error> {
        let mut removed = self.removed_mut();
        let events = self.uffd.read(batch)?;
        for event in &events {
            if let Event::Remove(addresses) | Event::Unmap(addresses) = event {
                for pages in self.layout.pages_inside(addresses) {
                    removed.insert_range(pages);
                }
            }
        }
        Ok(events)
    }

    pub(crate) fn removed_pages(&self) -> u64 {
        self.removed().len()
    }

    // A panic of one holder leaves a set of pages, which is what the others expect.
    fn removed(&self) -> RwLockReadGuard<'_, PageSet> {
        self.removed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn removed_mut(&self) -> RwLockWriteGuard<'_, PageSet> {
        self.removed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the process whose memory is changing run: the thread that changes it was woken by the read of its message, and
/// has to be scheduled before anything can be installed.
pub(crate) fn give_way(attempts: u32) {
    if attempts < 8 {
        thread::yield_now();
    } else {
        thread::sleep(GIVE_WAY);
    }
}
