//! One client connection: what its requests share, and how the listener watches over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use http::{HeaderMap, StatusCode};
use tokio_util::task::TaskTracker;

use crate::downstream::Line;
use crate::forwarded::Client;
use crate::gateway::Shared;

const SERVE: u8 = 0;
const DRAIN: u8 = 1;
const CUT: u8 = 2;

/// What the listener wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Serve,
    /// Finish what is under way, take nothing new.
    Drain,
    /// End at once.
    Cut,
}

pub(crate) struct Session {
    pub(crate) gateway: Arc<Shared>,
    pub(crate) client: Client,
    pub(crate) line: Arc<Line>,
    pub(crate) tunnels: TaskTracker,
    verdict: AtomicU8,
    task: AtomicWaker,
    requests: AtomicU64,
    busy: Arc<()>,
}

/// Held by each request under way, until the end of its response.
pub(crate) struct Busy(#[expect(dead_code, reason = "counted, not read")] Arc<()>);

impl Session {
    pub(crate) fn new(gateway: Arc<Shared>, client: Client, tunnels: TaskTracker) -> Self {
        Self {
            gateway,
            client,
            line: Arc::new(Line::new()),
            tunnels,
            verdict: AtomicU8::new(SERVE),
            task: AtomicWaker::new(),
            requests: AtomicU64::new(0),
            busy: Arc::default(),
        }
    }

    pub(crate) fn begin(&self) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.busy.clone())
    }

    /// Sends an interim response to a client that speaks HTTP/1.1.
    pub(crate) fn interim(&self, status: StatusCode, headers: &HeaderMap) {
        self.line.interim(status, headers);
        self.task.wake();
    }

    pub(crate) fn is_busy(&self) -> bool {
        Arc::strong_count(&self.busy) > 1
    }

    /// Requests begun so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.verdict.load(Ordering::Acquire) {
            SERVE => Verdict::Serve,
            DRAIN => Verdict::Drain,
            _ => Verdict::Cut,
        }
    }

    /// The waker of the connection's task, called when the verdict changes.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.task.register(waker);
    }

    pub(crate) fn drain(&self) {
        self.verdict.fetch_max(DRAIN, Ordering::AcqRel);
        self.task.wake();
    }

    pub(crate) fn cut(&self) {
        self.verdict.fetch_max(CUT, Ordering::AcqRel);
        self.task.wake();
    }
}
