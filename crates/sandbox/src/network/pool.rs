//! Networks made ahead: making one takes tens of milliseconds, taking one from here takes none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::{Error, Network, prefix};

/// How long the refill waits after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The spare networks of a node. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    prefix: String,
    size: usize,
    next: AtomicU64,
    spares: Mutex<VecDeque<Network>>,
    changed: Notify,
    closed: CancellationToken,
    tasks: TaskTracker,
}

impl Pool {
    /// A pool that keeps `size` networks made, starting now, until it is closed.
    pub(crate) fn new(node_id: &str, size: usize) -> Self {
        let pool = Self(Arc::new(Inner {
            prefix: prefix(node_id),
            size,
            next: AtomicU64::new(0),
            spares: Mutex::default(),
            changed: Notify::new(),
            closed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }));
        if size > 0 {
            pool.0.tasks.spawn(pool.clone().refill());
        }
        pool
    }

    /// A network: a spare one at once, else a new one.
    pub(crate) async fn take(&self) -> Result<Network, Error> {
        let spare = self.spares().pop_front();
        match spare {
            Some(network) => {
                self.0.changed.notify_waiters();
                Ok(network)
            }
            None => self.make().await,
        }
    }

    /// Waits until the pool is full.
    pub(crate) async fn filled(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.spares().len() >= self.0.size || self.0.closed.is_cancelled() {
                return;
            }
            changed.await;
        }
    }

    /// Removes the spare networks and makes no more. Returns when none is left.
    pub(crate) async fn close(&self) {
        self.0.closed.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        let spares = std::mem::take(&mut *self.spares());
        crate::blocking(move || drop(spares)).await;
    }

    async fn make(&self) -> Result<Network, Error> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}", self.0.prefix);
        crate::blocking(move || Network::create(&name, number)).await
    }

    async fn refill(self) {
        while !self.0.closed.is_cancelled() {
            let changed = self.0.changed.notified();
            if self.spares().len() >= self.0.size {
                tokio::select! {
                    () = changed => continue,
                    () = self.0.closed.cancelled() => return,
                }
            }
            match self.make().await {
                Ok(network) => {
                    self.spares().push_back(network);
                    self.0.changed.notify_waiters();
                }
                Err(error) => {
                    let error = crate::chain(&error);
                    warn!(error, "cannot make a spare network; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = self.0.closed.cancelled() => return,
                    }
                }
            }
        }
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, VecDeque<Network>> {
        self.0.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
