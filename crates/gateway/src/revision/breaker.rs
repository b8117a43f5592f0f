//! Who may go where, and who waits: decisions without clock, lock or wake-up.
//!
//! ```text
//!            room at a backend                      released, cancelled or refused
//! arrival ──────────────────────► in flight ──────────────────────────────► gone
//!    │  no room                      ▲
//!    └──────────► waiting (FIFO) ────┘ room at a backend
//!        queue full: refused
//! ```
//!
//! The queue has two bounds. With no backend it is the activator's queue, bounded by a large fixed number.
//! With backends it is the breaker's, bounded by ten times what they can take at once, but only once they could
//! take the burst that the revision is to bear (`target-burst-capacity`) on top of what there is: before, Knative
//! has its activator in the way. A queue that built up
//! while there was no backend keeps the activator's bound until it has shrunk below the breaker's: the
//! instances that will drain it are still to come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backend::Backend;

/// Waiting requests per request in flight (Knative's queue-proxy).
const QUEUE_FACTOR: usize = 10;

pub(crate) type Ticket = u64;

/// The queue is full; carries its bound.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) usize);

/// `W` is what it takes to wake a waiting request.
pub(crate) struct Breaker<W> {
    limit: u32,
    activator_queue: usize,
    /// Requests; negative is any number.
    burst_capacity: i64,
    serving: Vec<Arc<Backend>>,
    draining: Vec<Arc<Backend>>,
    waiting: BTreeMap<Ticket, W>,
    next_ticket: Ticket,
    activating: bool,
    in_flight: usize,
    round: usize,
}

impl<W> Breaker<W> {
    pub(crate) fn new(limit: u32, activator_queue: usize) -> Self {
        Self {
            limit,
            activator_queue,
            burst_capacity: 0,
            serving: Vec::new(),
            draining: Vec::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            activating: true,
            in_flight: 0,
            round: 0,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(crate) fn set_burst_capacity(&mut self, burst_capacity: i64) {
        self.burst_capacity = burst_capacity;
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.serving.is_empty()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// A place for a request that has just come; `None` if it must wait. Nobody overtakes the queue.
    /// `avoid` is taken only if no other has room.
    pub(crate) fn admit(&mut self, avoid: Option<&Arc<Backend>>) -> Option<Arc<Backend>> {
        if self.waiting.is_empty() {
            self.take(avoid)
        } else {
            None
        }
    }

    pub(crate) fn enqueue(&mut self, waiter: W) -> Result<Ticket, Full> {
        let bound = self.queue_bound();
        if self.waiting.len() >= bound {
            return Err(Full(bound));
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, waiter);
        Ok(ticket)
    }

    /// Takes a request out of the queue; `false` if it was no longer there.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> bool {
        self.waiting.remove(&ticket).is_some()
    }

    /// The longest waiting request and the place it gets, if there is one.
    pub(crate) fn next(&mut self) -> Option<(W, Arc<Backend>)> {
        if self.waiting.is_empty() {
            return None;
        }
        let backend = self.take(None)?;
        let (_, waiter) = self.waiting.pop_first()?;
        Some((waiter, backend))
    }

    pub(crate) fn release(&mut self, backend: &Arc<Backend>) {
        backend.leave();
        self.in_flight = self.in_flight.saturating_sub(1);
        if !backend.serving() && backend.in_flight() == 0 {
            self.draining.retain(|other| !Arc::ptr_eq(other, backend));
        }
    }

    /// All waiting requests, in order, out of the queue.
    pub(crate) fn refuse_all(&mut self) -> impl Iterator<Item = W> + use<W> {
        std::mem::take(&mut self.waiting).into_values()
    }

    /// Replaces the backends. One that was here before under the same id stays, with its requests counted,
    /// even if it was draining; one that is left out drains.
    pub(crate) fn set_backends<E>(
        &mut self,
        endpoints: Vec<E>,
        id: impl Fn(&E) -> &str,
        make: impl Fn(E) -> Backend,
    ) {
        let mut known = std::mem::take(&mut self.serving);
        known.append(&mut self.draining);
        for endpoint in endpoints {
            if self.serving.iter().any(|one| one.id() == id(&endpoint)) {
                continue;
            }
            let position = known.iter().position(|one| one.id() == id(&endpoint));
            self.serving.push(match position {
                Some(index) => known.swap_remove(index),
                None => Arc::new(make(endpoint)),
            });
        }
        for backend in &self.serving {
            if !backend.serving() {
                backend.set_serving(true);
            }
        }
        for backend in &known {
            backend.set_serving(false);
        }
        known.retain(|backend| backend.in_flight() > 0);
        self.draining = known;
        self.activating |= self.serving.is_empty();
    }

    /// A backend by id, whether it serves or drains.
    pub(crate) fn backend(&self, id: &str) -> Option<&Arc<Backend>> {
        self.serving
            .iter()
            .chain(&self.draining)
            .find(|backend| backend.id() == id)
    }

    fn queue_bound(&mut self) -> usize {
        let breaker = QUEUE_FACTOR * self.limit as usize * self.serving.len();
        if self.is_ready() && self.waiting.len() < breaker {
            self.activating = false;
        }
        if self.activating || self.limit == 0 || self.awaits_burst() {
            self.activator_queue
        } else {
            breaker.min(self.activator_queue)
        }
    }

    /// Whether the backends could not take the burst that is to be expected (upstream: excess burst capacity below zero).
    fn awaits_burst(&self) -> bool {
        let capacity = self.limit as usize * self.serving.len();
        let present = self.in_flight + self.waiting.len();
        match usize::try_from(self.burst_capacity) {
            Ok(0) => false,
            Ok(burst) => capacity < burst.saturating_add(present),
            Err(_) => true,
        }
    }

    fn take(&mut self, avoid: Option<&Arc<Backend>>) -> Option<Arc<Backend>> {
        let backend = self
            .choose(avoid)
            .or_else(|| avoid.and_then(|_| self.choose(None)))?;
        backend.enter();
        self.in_flight += 1;
        Some(backend)
    }

    /// Knative's choice by limit: none, the less loaded of two at random; up to three, the first with room,
    /// so that the others can go; more, each in turn.
    fn choose(&mut self, avoid: Option<&Arc<Backend>>) -> Option<Arc<Backend>> {
        let free = |backend: &&Arc<Backend>| {
            (self.limit == 0 || backend.in_flight() < self.limit)
                && avoid.is_none_or(|other| !Arc::ptr_eq(other, backend))
        };
        match (self.limit, &*self.serving) {
            (_, []) => None,
            (_, [only]) => Some(only).filter(free).cloned(),
            (0, many) => {
                let (first, second) = two_of(many.len());
                let (first, second) = (&many[first], &many[second]);
                let first_is_lighter = first.in_flight() <= second.in_flight();
                let (light, heavy) = if first_is_lighter {
                    (first, second)
                } else {
                    (second, first)
                };
                Some(light)
                    .filter(free)
                    .or_else(|| Some(heavy).filter(free))
                    .cloned()
            }
            (1..=3, many) => many.iter().find(free).cloned(),
            (_, many) => {
                let start = self.round % many.len();
                let (before, after) = many.split_at(start);
                let offset = after.iter().chain(before).position(|one| free(&one))?;
                let index = (start + offset) % many.len();
                self.round = index + 1;
                Some(many[index].clone())
            }
        }
    }
}

/// Two different numbers below `count`, which is at least 2.
fn two_of(count: usize) -> (usize, usize) {
    let first = fastrand::usize(..count);
    let second = fastrand::usize(..count - 1);
    (first, second + usize::from(second >= first))
}
