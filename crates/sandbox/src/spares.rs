//! Dormant hypervisors made ahead: a clone begins with one that waits already, and only has to be told which snapshot it is.
//!
//! They are made for the shapes of machine that were asked for lately. One that is taken is replaced in the background,
//! when the clone has had a moment to itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use vmm::Hypervisor;

use crate::config::{Config, Shape};
use crate::network::Pool as Networks;
use crate::place::Place;
use crate::turns::Turns;

/// How long the refill waits after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How long no clone must have come up before what was taken is replaced: the first request comes when a clone is ready.
const LULL: Duration = Duration::from_millis(250);
/// Clones that keep coming put it off so long at most.
const AT_LATEST: Duration = Duration::from_secs(5);
/// How long spares are kept for a shape that nobody asks for. A dormant hypervisor takes tens of MiB.
const KEPT: Duration = Duration::from_secs(600);

/// The spare hypervisors of a node. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Spares(Arc<Inner>);

struct Inner {
    config: Config,
    hypervisor: Arc<dyn Hypervisor>,
    networks: Networks,
    next: AtomicU64,
    shapes: Mutex<HashMap<Shape, Shelf>>,
    turns: Turns,
    changed: Notify,
    closed: CancellationToken,
    tasks: TaskTracker,
}

/// The spares of one shape.
struct Shelf {
    spares: VecDeque<Place>,
    last_asked: Instant,
}

impl Spares {
    /// Keeps `config.spare_hypervisors` of each shape that is asked for, until it is closed.
    pub(crate) fn new(
        config: Config,
        hypervisor: Arc<dyn Hypervisor>,
        networks: Networks,
        turns: Turns,
    ) -> Self {
        let spares = Self(Arc::new(Inner {
            config,
            hypervisor,
            networks,
            next: AtomicU64::new(0),
            shapes: Mutex::default(),
            turns,
            changed: Notify::new(),
            closed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }));
        if spares.0.config.spare_hypervisors > 0 {
            spares.0.tasks.spawn(spares.clone().refill());
        }
        spares
    }

    /// Has spares of this shape made: it will be asked for.
    pub(crate) fn expect(&self, shape: Shape) {
        let now = Instant::now();
        self.shapes()
            .entry(shape)
            .and_modify(|shelf| shelf.last_asked = now)
            .or_insert_with(|| Shelf {
                spares: VecDeque::new(),
                last_asked: now,
            });
        self.0.changed.notify_waiters();
    }

    /// A spare of this shape, if one is ready.
    pub(crate) fn take(&self, shape: Shape) -> Option<Place> {
        self.expect(shape);
        loop {
            let place = self.shapes().get_mut(&shape)?.spares.pop_front()?;
            // It may have been killed while it waited.
            if place.is_alive() {
                return Some(place);
            }
            self.0.tasks.spawn(place.leave());
        }
    }

    /// Waits until there are enough spares of every shape that is expected.
    pub(crate) async fn filled(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.closed.is_cancelled() || self.wanting().is_none() {
                return;
            }
            changed.await;
        }
    }

    /// Ends the spares and makes no more. Returns when none is left.
    pub(crate) async fn close(&self) {
        self.0.closed.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        let shelves = std::mem::take(&mut *self.shapes());
        leave(shelves.into_values()).await;
    }

    async fn refill(self) {
        while !self.0.closed.is_cancelled() {
            let changed = self.0.changed.notified();
            self.forget_unasked().await;
            let Some(shape) = self.wanting() else {
                let unasked = self.unasked_from();
                tokio::select! {
                    () = changed => {}
                    () = until(unasked) => {}
                    () = self.0.closed.cancelled() => return,
                }
                continue;
            };
            tokio::select! {
                () = self.0.turns.quiet(LULL, Instant::now() + AT_LATEST) => {}
                () = self.0.closed.cancelled() => return,
            }
            let number = self.0.next.fetch_add(1, Ordering::Relaxed);
            let (inner, name) = (&self.0, format!("spare-{number}"));
            // Half-made, it could not be taken down as a whole.
            let made = Place::with_dormant(
                &inner.config,
                &*inner.hypervisor,
                &inner.networks,
                &name,
                shape,
            );
            match made.await {
                Ok(place) => {
                    if let Some(shelf) = self.shapes().get_mut(&shape) {
                        shelf.spares.push_back(place);
                    }
                    self.0.changed.notify_waiters();
                }
                Err(error) => {
                    warn!(error, "cannot make a spare hypervisor; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = self.0.closed.cancelled() => return,
                    }
                }
            }
        }
    }

    /// A shape of which there are too few.
    fn wanting(&self) -> Option<Shape> {
        let size = self.0.config.spare_hypervisors;
        let shapes = self.shapes();
        let fewest = shapes.iter().min_by_key(|(_, shelf)| shelf.spares.len());
        fewest
            .filter(|(_, shelf)| shelf.spares.len() < size)
            .map(|(shape, _)| *shape)
    }

    /// When the next of the shapes will not have been asked for in a long time, whatever happens to the others; `None` if
    /// there are none.
    fn unasked_from(&self) -> Option<Instant> {
        self.shapes().values().map(Shelf::unasked_from).min()
    }

    /// Ends the spares of shapes that nobody has asked for.
    async fn forget_unasked(&self) {
        let now = Instant::now();
        let old: Vec<Shelf> = self
            .shapes()
            .extract_if(|_, shelf| shelf.unasked_from() <= now)
            .map(|(_, shelf)| shelf)
            .collect();
        leave(old.into_iter()).await;
    }

    fn shapes(&self) -> MutexGuard<'_, HashMap<Shape, Shelf>> {
        self.0.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// When it will not have been asked for in a long time.
    fn unasked_from(&self) -> Instant {
        self.last_asked + KEPT
    }
}

/// Waits until `time`; for ever if there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Takes down all spares of these shelves.
async fn leave(shelves: impl Iterator<Item = Shelf>) {
    let spares = shelves.flat_map(|shelf| shelf.spares);
    join_all(spares.map(Place::leave)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_forgotten_a_time_after_it_was_asked_for_whatever_else_happens() {
        let asked = Instant::now();
        let mut shelf = Shelf {
            spares: VecDeque::new(),
            last_asked: asked,
        };
        assert_eq!(shelf.unasked_from(), asked + KEPT);
        shelf.last_asked += KEPT;
        assert_eq!(shelf.unasked_from(), asked + 2 * KEPT);
    }
}
