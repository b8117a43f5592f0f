//! One snapshot on disk, and what can be wrong with it.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use memory::working_set::{Binding, Header, ReadError, Reader};
use memory::{MemoryFile, Stats};
use sha2::{Digest as _, Sha256};

use super::fit::Misfit;
use super::manifest::{FORMAT, Manifest, Part};
use super::working_set::WorkingSet;
use super::{MANIFEST, MEMORY, STATE, WORKING_SET};
use crate::chain;

/// What is wrong with the files of a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The manifest is missing or no manifest.
    #[error("its manifest cannot be read")]
    Manifest(#[source] io::Error),
    /// It was written by a later version.
    #[error("it has format {found}, and {FORMAT} is known")]
    Format {
        /// What it says.
        found: u32,
    },
    /// The manifest is that of another snapshot.
    #[error("its manifest is that of snapshot {found}")]
    Foreign {
        /// What it says.
        found: String,
    },
    /// A file is missing or unreadable.
    #[error("its file {file:?} cannot be read")]
    File {
        /// Its name.
        file: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file has another length than the manifest says.
    #[error("its file {file:?} has {found} bytes and should have {expected}")]
    Length {
        /// Its name.
        file: &'static str,
        /// As the manifest says.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// A file has another content than the manifest says.
    #[error(
        "the content of its file {file:?} is not what was written: {}",
        shown(ranges)
    )]
    Checksum {
        /// Its name.
        file: &'static str,
        /// Where it differs, in bytes.
        ranges: Vec<Range<u64>>,
    },
    /// The working set cannot be used. Guests do without it, and it is recorded again.
    #[error("its working set is damaged")]
    WorkingSet(#[source] ReadError),
    /// It fits another machine.
    #[error("it does not fit")]
    Misfit(#[from] Misfit),
}

/// A snapshot that is whole on disk.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) manifest: Manifest,
    pub(super) folder: PathBuf,
    /// What its files take on disk, in bytes.
    on_disk: AtomicU64,
    last_used: Mutex<Timestamp>,
    restores: AtomicU64,
    memory_file: OnceLock<Arc<MemoryFile>>,
    working_set: WorkingSet,
}

impl Snapshot {
    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The devices' state.
    pub fn state(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    /// The guest's memory.
    pub fn memory(&self) -> PathBuf {
        self.folder.join(MEMORY)
    }

    /// The guest's memory, opened and mapped once for all clones.
    pub(crate) fn memory_file(&self) -> Result<Arc<MemoryFile>, String> {
        if let Some(file) = self.memory_file.get() {
            return Ok(file.clone());
        }
        let file = MemoryFile::open(&self.memory()).map_err(|error| chain(&error))?;
        Ok(self.memory_file.get_or_init(|| Arc::new(file)).clone())
    }

    /// What binds a working set to this snapshot and no other.
    pub(crate) fn binding(&self) -> Binding {
        let Manifest { id, memory, .. } = &self.manifest;
        Binding(Sha256::digest(format!("{id} {}", memory.sha256)).into())
    }

    /// The working set, if one was recorded.
    pub fn working_set_header(&self) -> Option<Arc<Header>> {
        self.working_set
            .header(&self.working_set(), &self.binding())
    }

    /// Guests that were given the working set in bulk, pages that it brought them, and pages that they needed beyond it; since it
    /// was recorded, or the node started.
    pub fn working_set_uses(&self) -> (u64, u64, u64) {
        let WorkingSet {
            uses, hits, misses, ..
        } = &self.working_set;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(uses), load(hits), load(misses))
    }

    pub(crate) fn begin_recording(&self) -> bool {
        self.working_set.begin_recording()
    }

    pub(crate) fn end_recording(&self) {
        self.working_set.end_recording();
    }

    /// A working set was written.
    pub(crate) fn recorded(&self) {
        self.working_set.renew();
        self.measure();
    }

    pub(crate) fn forget_working_set(&self) {
        self.working_set.forget(&self.working_set());
    }

    /// Counts what a guest was served.
    pub(crate) fn served(&self, stats: &Stats) {
        if self.working_set.count(stats) {
            self.forget_working_set();
        }
    }

    /// Where its working set is, or will be.
    pub fn working_set(&self) -> PathBuf {
        self.folder.join(WORKING_SET)
    }

    /// What its files take on disk, in bytes.
    pub fn on_disk(&self) -> u64 {
        self.on_disk.load(Ordering::Relaxed)
    }

    /// How many instances were restored from it since the node started.
    pub fn restores(&self) -> u64 {
        self.restores.load(Ordering::Relaxed)
    }

    /// When an instance was last restored from it; since the node started, else when it was taken.
    pub fn last_used(&self) -> Timestamp {
        *self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an instance is being restored from it.
    pub fn used(&self, now: Timestamp) {
        self.restores.fetch_add(1, Ordering::Relaxed);
        *self
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Measures again what it takes on disk, after its working set was written.
    fn measure(&self) {
        self.on_disk.store(blocks(&self.folder), Ordering::Relaxed);
    }

    /// Reads all of it, compares, and returns what is wrong: nothing, if it is as it was written. Blocks for as long as that
    /// takes.
    pub fn verify(&self) -> Vec<Damage> {
        let parts = [
            (STATE, &self.manifest.state),
            (MEMORY, &self.manifest.memory),
        ];
        let checked = parts
            .into_iter()
            .filter_map(|(file, part)| self.verify_part(file, part).err());
        checked.chain(self.verify_working_set().err()).collect()
    }

    fn verify_part(&self, file: &'static str, part: &Part) -> Result<(), Damage> {
        let found =
            Part::of(&self.folder.join(file)).map_err(|source| Damage::File { file, source })?;
        if found.bytes != part.bytes {
            return Err(Damage::Length {
                file,
                expected: part.bytes,
                found: found.bytes,
            });
        }
        match part.differences(&found) {
            none if none.is_empty() => Ok(()),
            ranges => Err(Damage::Checksum { file, ranges }),
        }
    }

    fn verify_working_set(&self) -> Result<(), Damage> {
        let path = self.working_set();
        // There may be none yet.
        if !path.exists() {
            return Ok(());
        }
        let read = Reader::open(&path, &self.binding());
        read.and_then(|reader| reader.verify())
            .map_err(Damage::WorkingSet)
    }

    /// Reads what is cheap to read: the manifest and the sizes, not the content.
    pub(super) fn load(folder: &Path, id: &str) -> Result<Self, Damage> {
        let manifest = Manifest::read(&folder.join(MANIFEST)).map_err(Damage::Manifest)?;
        if manifest.format != FORMAT {
            return Err(Damage::Format {
                found: manifest.format,
            });
        }
        if manifest.id != id {
            return Err(Damage::Foreign { found: manifest.id });
        }
        for (file, part) in [(STATE, &manifest.state), (MEMORY, &manifest.memory)] {
            let found = fs::metadata(folder.join(file))
                .map_err(|source| Damage::File { file, source })?
                .len();
            if found != part.bytes {
                return Err(Damage::Length {
                    file,
                    expected: part.bytes,
                    found,
                });
            }
        }
        Ok(Self {
            last_used: Mutex::new(manifest.created),
            restores: AtomicU64::new(0),
            memory_file: OnceLock::new(),
            working_set: WorkingSet::default(),
            on_disk: AtomicU64::new(blocks(folder)),
            folder: folder.to_owned(),
            manifest,
        })
    }
}

/// Ranges of bytes, of which there may be many.
fn shown(ranges: &[Range<u64>]) -> String {
    const MOST: usize = 8;
    let text = ranges
        .iter()
        .take(MOST)
        .map(|range| format!("bytes {} to {}", range.start, range.end))
        .collect::<Vec<_>>()
        .join(", ");
    match ranges.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{text} and {more} more ranges"),
        _ => text,
    }
}

/// What the files of a folder take on disk, in bytes.
fn blocks(folder: &Path) -> u64 {
    const UNIT: u64 = 512;
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| metadata.blocks() * UNIT)
        .sum()
}
