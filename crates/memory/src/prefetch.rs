//! A working set being read ahead of its installation.
//!
//! A few threads read one chunk each, and check it; whoever installs takes chunks in the order they arrive. So the
//! disk has several reads to do at once, the hypervisor loads its state meanwhile, and installation begins with
//! the first chunk. Buffers go round: what has been installed is read into again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use sys::direct_io::{self, AlignedBuffer};

use crate::page_set::Run;
use crate::working_set::{Binding, Header, ReadError, Reader};

/// Threads that read. Measured with fio on a virtual disk: 1 MiB reads gave 0.9 GB/s with one and 1.2 with two,
/// 256 KiB reads 0.6, 1.0 and 1.1 with one, two and four; `io_uring` was no faster (1.1 to 1.2).
const READERS: usize = 3;

/// Most bytes that are read and not installed yet.
const AHEAD: usize = 128 << 20;

/// A working set is not being read.
#[derive(Debug, thiserror::Error)]
pub enum PrefetchError {
    /// The file cannot be read, or holds something else.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no memory to read into.
    #[error("cannot read the working set {} ahead", path.display())]
    Buffer {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: direct_io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread to read the working set {}", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A part of the content, in memory.
#[derive(Debug)]
pub struct Chunk {
    buffer: AlignedBuffer,
    pieces: Vec<Piece>,
}

/// Where the content of a run is in its chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The pages.
    pub run: Run,
    bytes: Range<usize>,
}

impl Chunk {
    /// The runs of the chunk and their content.
    pub fn pieces(&self) -> impl Iterator<Item = (Run, &[u8])> {
        self.pieces
            .iter()
            .map(|piece| (piece.run, &self.buffer[piece.bytes.clone()]))
    }
}

/// A working set whose content is on its way. Dropping it ends the reading.
#[derive(Debug)]
pub struct Prefetch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    reader: Reader,
    state: Mutex<State>,
    /// A chunk arrived, or none will.
    arrived: Condvar,
    /// A buffer came back, or nobody wants chunks any more.
    room: Condvar,
}

#[derive(Debug)]
struct State {
    /// The chunk that is read next.
    next: u64,
    /// Chunks being read.
    reading: usize,
    ready: VecDeque<Chunk>,
    free: Vec<AlignedBuffer>,
    /// Buffers that may still be made.
    unmade: usize,
    /// What went wrong, until somebody is told.
    failure: Option<PrefetchError>,
    /// Something went wrong: what others still read is not wanted.
    failed: bool,
    /// Nothing more is to be read.
    ended: bool,
}

impl Prefetch {
    /// Opens the working set of the snapshot `binding`, checks its header, and begins to read its content.
    pub fn start(path: &Path, binding: &Binding) -> Result<Self, PrefetchError> {
        let reader = Reader::open(path, binding)?;
        let chunks = reader.header().chunks();
        let chunk_bytes = reader.chunk_bytes(0).max(1);
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            reader,
            state: Mutex::new(State {
                next: 0,
                reading: 0,
                ready: VecDeque::new(),
                free: Vec::new(),
                unmade: (AHEAD / chunk_bytes).max(READERS),
                failure: None,
                failed: false,
                ended: false,
            }),
            arrived: Condvar::new(),
            room: Condvar::new(),
        });
        let this = Self { shared };
        for _ in 0..READERS.min(chunks as usize) {
            let shared = Arc::clone(&this.shared);
            thread::Builder::new()
                .name("working-set".to_owned())
                .spawn(move || shared.read_chunks())
                .map_err(|source| PrefetchError::Thread {
                    path: path.to_owned(),
                    source,
                })?;
        }
        Ok(this)
    }

    /// What the working set holds.
    pub fn header(&self) -> &Header {
        self.shared.reader.header()
    }

    /// The next chunk that has been read, which is waited for; `None` after the last. After an error there is none.
    pub fn next(&self) -> Option<Result<Chunk, PrefetchError>> {
        let mut state = self.shared.lock();
        loop {
            if let Some(error) = state.failure.take() {
                return Some(Err(error));
            }
            if let Some(chunk) = state.ready.pop_front() {
                return Some(Ok(chunk));
            }
            let over = state.ended || state.next >= self.header().chunks();
            if over && state.reading == 0 {
                return None;
            }
            state = self
                .shared
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a chunk back, to be read into again.
    pub fn recycle(&self, chunk: Chunk) {
        let mut state = self.shared.lock();
        if state.next < self.header().chunks() {
            state.free.push(chunk.buffer);
            self.shared.room.notify_one();
        }
    }

    /// Ends the reading; [`next`](Self::next) gives what has been read, and then nothing.
    pub fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.room.notify_all();
        self.shared.arrived.notify_all();
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each of the threads does.
    fn read_chunks(&self) {
        while let Some((index, buffer)) = self.take_up() {
            let result = self.read(index, buffer);
            let mut state = self.lock();
            state.reading -= 1;
            match result {
                Ok(_) if state.failed => {}
                Ok(chunk) => state.ready.push_back(chunk),
                Err(error) => {
                    state.failed = true;
                    state.ended = true;
                    state.ready.clear();
                    state.failure.get_or_insert(error);
                    self.room.notify_all();
                }
            }
            // Several may install, and each must learn when there is no more.
            self.arrived.notify_all();
        }
    }

    /// The next chunk to read, and what to read it into unless that must be made.
    fn take_up(&self) -> Option<(u64, Option<AlignedBuffer>)> {
        let mut state = self.lock();
        loop {
            if state.ended || state.next >= self.reader.header().chunks() {
                return None;
            }
            let buffer = state.free.pop();
            if buffer.is_some() || state.unmade > 0 {
                if buffer.is_none() {
                    state.unmade -= 1;
                }
                let index = state.next;
                state.next += 1;
                state.reading += 1;
                return Some((index, buffer));
            }
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read(&self, index: u64, buffer: Option<AlignedBuffer>) -> Result<Chunk, PrefetchError> {
        let mut buffer = match buffer {
            Some(buffer) => buffer,
            None => AlignedBuffer::new(self.reader.chunk_bytes(0)).map_err(|source| {
                PrefetchError::Buffer {
                    path: self.path.clone(),
                    source,
                }
            })?,
        };
        self.reader.read_chunk(index, &mut buffer)?;
        Ok(Chunk {
            pieces: pieces(self.reader.header(), index),
            buffer,
        })
    }
}

fn pieces(header: &Header, chunk: u64) -> Vec<Piece> {
    let size = header.page_size().bytes() as usize;
    let mut at = 0;
    header
        .chunk_runs(chunk)
        .into_iter()
        .map(|run| {
            let start = at;
            at += run.pages as usize * size;
            Piece {
                run,
                bytes: start..at,
            }
        })
        .collect()
}
