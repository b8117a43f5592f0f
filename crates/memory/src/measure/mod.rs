//! The page server beside what it cannot beat: the same system calls in a bare loop, a copy in memory, a read from
//! the disk. Everything in one run, taking turns.

mod bare;
mod guest;
mod pinned;
mod samples;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{Guest, block_on};
use pinned::Pinned;
pub use samples::{Compared, Samples};
use sys::mapping::{Access, Mapping};

use crate::choose::read_ahead;
use crate::installer::{InstallError, Installer};
use crate::memory_file::MemoryFile;
use crate::page_set::{PageSet, Run};
use crate::policy::{Lazy, Paper, Policy, Reap};
use crate::prefetch::Prefetch;
use crate::server::{Options, Server};
use crate::working_set::{self, Binding, Reader};

const PAGE: u64 = 4096;
const SNAPSHOT: Binding = Binding([0; 32]);

/// What to measure with.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to put a memory file and a working set: on the disk that snapshots will be on.
    pub folder: PathBuf,
    /// Pages of the working set; the guest has twice as many.
    pub pages: u64,
    /// Pages per run of the working set.
    pub run: u64,
    /// Faults per repetition.
    pub faults: u64,
    /// How often each is measured.
    pub repetitions: usize,
    /// Threads that install, where the policy has several.
    pub threads: usize,
}

impl Plan {
    /// 64 MiB in runs of 8 pages, 20 times.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            pages: 16 << 10,
            run: 8,
            faults: 8 << 10,
            repetitions: 20,
            threads: 1,
        }
    }
}

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Measurement {
    /// Seconds per fault on a page of a memory file in the page cache, one at a time, with the guest and who serves it on
    /// one processor. On two, waking the other takes several times as long as all the rest, or not, as the scheduler has
    /// it.
    pub fault: Compared,
    /// Seconds to install the working set from memory.
    pub bulk: Compared,
    /// Seconds to copy it in memory.
    pub memcpy: Samples,
    /// Seconds to read and install it with a cold page cache: `reap`, from the start of the reading.
    pub reap: Samples,
    /// The same as the paper does it.
    pub paper: Samples,
    /// Seconds to read it ahead and do nothing with it, with a cold page cache.
    pub read: Samples,
    /// Seconds to touch the working set in a private mapping of the memory file, all of it in the page cache.
    pub mapped_warm: Samples,
    /// The same with a cold page cache, after [`read_ahead`].
    pub mapped_cold: Samples,
    /// Bytes of the working set.
    pub bytes: u64,
}

/// A measurement could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot measure the page server: cannot {step}")]
pub struct MeasureError {
    step: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

fn at<E: Into<Boxed>>(step: &'static str) -> impl FnOnce(E) -> MeasureError {
    move |error| MeasureError {
        step,
        source: error.into(),
    }
}

/// Measures. `progress` is called with the repetition before each.
pub fn measure(plan: &Plan, mut progress: impl FnMut(usize)) -> Result<Measurement, MeasureError> {
    let bench = Bench::prepare(plan)?;
    let mut found = Measurement {
        bytes: plan.pages * PAGE,
        ..Measurement::default()
    };
    for repetition in 0..plan.repetitions {
        progress(repetition);
        // Who is first may find the machine in another state than who is second.
        if repetition.is_multiple_of(2) {
            found.fault.server.push(bench.server_faults(plan.faults)?);
            found.fault.bare.push(bench.bare_faults(plan.faults)?);
            found.bulk.server.push(bench.server_bulk()?);
            found.bulk.bare.push(bench.bare_bulk()?);
            found.reap.push(bench.reap(plan.threads)?);
            found.paper.push(bench.paper()?);
        } else {
            found.paper.push(bench.paper()?);
            found.reap.push(bench.reap(plan.threads)?);
            found.bulk.bare.push(bench.bare_bulk()?);
            found.bulk.server.push(bench.server_bulk()?);
            found.fault.bare.push(bench.bare_faults(plan.faults)?);
            found.fault.server.push(bench.server_faults(plan.faults)?);
        }
        found.read.push(bench.read()?);
        found.memcpy.push(bench.memcpy());
        found.mapped_cold.push(bench.mapped_cold()?);
        found.mapped_warm.push(bench.mapped()?);
    }
    Ok(found)
}

struct Bench {
    folder: tempfile::TempDir,
    memory: Arc<MemoryFile>,
    runs: Vec<Run>,
    content: Arc<Vec<u8>>,
}

impl Bench {
    fn prepare(plan: &Plan) -> Result<Self, MeasureError> {
        let folder = tempfile::tempdir_in(&plan.folder).map_err(at("make a folder"))?;
        let pages = 2 * plan.pages;
        let content: Vec<u8> = (0..plan.pages * PAGE / 8)
            .flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
            .collect();
        let path = folder.path().join("memory");
        let file = File::create_new(&path).map_err(at("make a memory file"))?;
        for half in 0..2 {
            file.write_all_at(&content, half * plan.pages * PAGE)
                .map_err(at("write a memory file"))?;
        }
        let memory = Arc::new(MemoryFile::open(&path).map_err(at("open a memory file"))?);

        // Every other run of the memory.
        let step = plan.run.max(1);
        let runs: Vec<Run> = (0..plan.pages)
            .step_by(step as usize)
            .map(|first| Run {
                first: 2 * first,
                pages: step.min(plan.pages - first),
            })
            .collect();
        let set = PageSet::of(pages, runs.iter().copied());
        working_set::write(&folder.path().join("working-set"), &SNAPSHOT, &set, &memory)
            .map_err(at("write a working set"))?;
        Ok(Self {
            folder,
            memory,
            runs,
            content: Arc::new(content),
        })
    }

    fn working_set(&self) -> PathBuf {
        self.folder.path().join("working-set")
    }

    fn pages(&self) -> u64 {
        self.memory.bytes() / PAGE
    }

    /// Starts a server and has a guest connect to it.
    fn serve(&self, policy: impl Policy + 'static) -> Result<(Server, Guest), MeasureError> {
        // The path of a socket must be short.
        let folder = tempfile::tempdir().map_err(at("make a folder"))?;
        let socket = folder.path().join("pages");
        let listener = UnixListener::bind(&socket).map_err(at("listen"))?;
        let memory = Arc::clone(&self.memory);
        let server = Server::start(listener, memory, Box::new(policy), Options::default())
            .map_err(at("start a server"))?;
        let guest = Guest::new(self.pages()).map_err(at("map a guest's memory"))?;
        guest.connect(&socket).map_err(at("connect to a server"))?;
        Ok((server, guest))
    }

    fn installed(server: &Server) -> Result<Duration, MeasureError> {
        let installed = block_on(server.installed())
            .map_err(|outcome| at("install")(format!("{outcome:?}")))?;
        match installed.error {
            Some(error) => Err(at("install")(error.to_string())),
            None => Ok(installed.took),
        }
    }

    fn server_faults(&self, faults: u64) -> Result<f64, MeasureError> {
        let _pinned = Pinned::here().map_err(at("stay on one processor"))?;
        let (server, guest) = self.serve(Lazy)?;
        block_on(server.connected()).map_err(|outcome| at("connect")(format!("{outcome:?}")))?;
        let took = guest.touch(faults);
        drop(guest);
        server.stop();
        server.join();
        Ok(took.as_secs_f64() / faults as f64)
    }

    fn bare_faults(&self, faults: u64) -> Result<f64, MeasureError> {
        let _pinned = Pinned::here().map_err(at("stay on one processor"))?;
        let guest = Guest::new(self.pages()).map_err(at("map a guest's memory"))?;
        let took = bare::faults(&guest, &self.memory, faults)?;
        Ok(took.as_secs_f64() / faults as f64)
    }

    fn server_bulk(&self) -> Result<f64, MeasureError> {
        let (server, guest) = self.serve(FromMemory {
            runs: self.runs.clone(),
            content: Arc::clone(&self.content),
        })?;
        let took = Self::installed(&server)?;
        drop(guest);
        Ok(took.as_secs_f64())
    }

    fn bare_bulk(&self) -> Result<f64, MeasureError> {
        let guest = Guest::new(self.pages()).map_err(at("map a guest's memory"))?;
        let took = bare::install(&guest, &self.runs, &self.content)?;
        Ok(took.as_secs_f64())
    }

    /// Has nothing of the working set in the page cache.
    fn cold(&self) -> Result<(), MeasureError> {
        let file = File::open(self.working_set()).map_err(at("open a working set"))?;
        sys::page_cache::evict(file).map_err(at("evict a working set"))
    }

    fn reap(&self, threads: usize) -> Result<f64, MeasureError> {
        self.cold()?;
        let started = Instant::now();
        let prefetch = Prefetch::start(&self.working_set(), &SNAPSHOT).map_err(at("read ahead"))?;
        let (server, guest) = self.serve(Reap::new(prefetch, threads))?;
        Self::installed(&server)?;
        let took = started.elapsed();
        drop(guest);
        Ok(took.as_secs_f64())
    }

    fn paper(&self) -> Result<f64, MeasureError> {
        self.cold()?;
        let started = Instant::now();
        let paper =
            Paper::open(&self.working_set(), &SNAPSHOT).map_err(at("open a working set"))?;
        let (server, guest) = self.serve(paper)?;
        Self::installed(&server)?;
        let took = started.elapsed();
        drop(guest);
        Ok(took.as_secs_f64())
    }

    fn read(&self) -> Result<f64, MeasureError> {
        self.cold()?;
        let started = Instant::now();
        let prefetch = Prefetch::start(&self.working_set(), &SNAPSHOT).map_err(at("read ahead"))?;
        while let Some(chunk) = prefetch.next() {
            prefetch.recycle(chunk.map_err(at("read ahead"))?);
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn mapped_cold(&self) -> Result<f64, MeasureError> {
        // Pages that somebody has mapped cannot be evicted.
        let reader =
            Reader::open(&self.working_set(), &SNAPSHOT).map_err(at("open a working set"))?;
        self.memory
            .mapping()
            .discard(0..self.memory.bytes() as usize)
            .map_err(at("unmap a memory file"))?;
        sys::page_cache::evict(self.memory.file()).map_err(at("evict a memory file"))?;
        let started = Instant::now();
        read_ahead(&self.memory, reader.header()).map_err(at("read ahead"))?;
        self.mapped()?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn mapped(&self) -> Result<f64, MeasureError> {
        let started = Instant::now();
        let length = self.memory.bytes() as usize;
        let mapping = Mapping::file(self.memory.file(), length, Access::WritePrivate)
            .map_err(at("map a memory file"))?;
        for page in self.runs.iter().flat_map(Run::range) {
            mapping.load((page * PAGE) as usize);
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn memcpy(&self) -> f64 {
        // Of the same length, so that all of it is there before the clock starts.
        let mut target = vec![1; self.content.len()];
        let started = Instant::now();
        target.copy_from_slice(&self.content);
        let took = started.elapsed();
        std::hint::black_box(&target);
        took.as_secs_f64()
    }
}

/// Installs what is in memory already.
struct FromMemory {
    runs: Vec<Run>,
    content: Arc<Vec<u8>>,
}

impl Policy for FromMemory {
    fn name(&self) -> &'static str {
        "from-memory"
    }

    fn install(&self, installer: &Installer) -> Result<(), InstallError> {
        let mut rest = &self.content[..];
        for run in &self.runs {
            let (here, after) = rest.split_at((run.pages * PAGE) as usize);
            installer.copy(*run, here)?;
            rest = after;
        }
        Ok(())
    }

    fn brings(&self, _page: u64) -> bool {
        true
    }
}
