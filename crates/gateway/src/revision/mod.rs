//! A revision on the data plane: its breaker behind one small lock of its own, its counters, and the permits
//! that requests hold.

mod backend;
mod breaker;
#[cfg(test)]
mod breaker_tests;
mod load;
mod stats;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::debug;

pub(crate) use self::backend::Backend;
use self::breaker::{Breaker, Ticket};
use self::load::Load;
pub use self::stats::Stats;
use crate::config::{Failure, Options, RevisionConfig};
use crate::demand::DemandSender;
use crate::endpoint::Endpoint;
use crate::key::RevisionKey;
use crate::refusal::Refusal;

type Waiter = oneshot::Sender<Result<Permit, Refusal>>;

pub(crate) struct Revision {
    key: RevisionKey,
    options: Options,
    demand: DemandSender,
    demanded: AtomicBool,
    requests: AtomicU64,
    /// By first digit of the status, 1 to 5.
    responses: [AtomicU64; 5],
    state: Mutex<State>,
}

struct State {
    /// `None`: routed to, but never set up, or removed.
    config: Option<RevisionConfig>,
    breaker: Breaker<Waiter>,
    failure: Option<Failure>,
    load: Load,
    last_request: Option<Instant>,
    arrived: u64,
}

/// What a request gets when it is let through.
pub(crate) struct Admission {
    pub(crate) permit: Permit,
    pub(crate) config: RevisionConfig,
    /// When that was.
    pub(crate) at: Instant,
    /// How long it waited in the queue.
    pub(crate) waited: Duration,
    /// Whether no endpoint was ready when it came.
    pub(crate) cold: bool,
}

impl Revision {
    pub(crate) fn new(key: RevisionKey, options: Options, demand: DemandSender) -> Self {
        Self {
            key,
            options,
            demand,
            demanded: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            responses: Default::default(),
            state: Mutex::new(State {
                config: None,
                breaker: Breaker::new(0, options.activator_queue),
                failure: None,
                load: Load::new(Instant::now()),
                last_request: None,
                arrived: 0,
            }),
        }
    }

    pub(crate) fn key(&self) -> &RevisionKey {
        &self.key
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.state().config.is_some()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state().breaker.is_ready()
    }

    pub(crate) fn configure(self: &Arc<Self>, config: RevisionConfig) {
        let mut state = self.state();
        state.config = Some(config);
        state.breaker.set_limit(config.container_concurrency);
        state
            .breaker
            .set_burst_capacity(config.target_burst_capacity);
        self.dispatch(state);
    }

    /// Takes the revision out: waiting requests are refused, backends drain.
    pub(crate) fn retire(self: &Arc<Self>) {
        let mut state = self.state();
        state.config = None;
        state.failure = None;
        state
            .breaker
            .set_backends(Vec::new(), endpoint_id, |endpoint| self.backend(endpoint));
        refuse_all(state, || Refusal::UnknownRevision(self.key.clone()));
    }

    pub(crate) fn set_endpoints(self: &Arc<Self>, endpoints: Vec<Endpoint>) {
        let mut state = self.state();
        state
            .breaker
            .set_backends(endpoints, endpoint_id, |endpoint| self.backend(endpoint));
        if state.breaker.is_ready() {
            state.failure = None;
        } else if state.breaker.queued() > 0 {
            self.poke();
        }
        self.dispatch(state);
    }

    pub(crate) fn set_failure(self: &Arc<Self>, failure: Option<Failure>) {
        let mut state = self.state();
        state.failure.clone_from(&failure);
        if let (Some(failure), false) = (failure, state.breaker.is_ready()) {
            refuse_all(state, || Refusal::Failed {
                key: self.key.clone(),
                failure: failure.clone(),
            });
        }
    }

    pub(crate) fn find_backend(&self, id: &str) -> Option<Arc<Backend>> {
        self.state().breaker.backend(id).cloned()
    }

    pub(crate) fn stats(&self) -> Stats {
        let now = Instant::now();
        let mut state = self.state();
        Stats {
            in_flight: state.breaker.in_flight(),
            queued: state.breaker.queued(),
            concurrency: state.load.average(now),
            ..self.totals(&mut state, now)
        }
    }

    /// As [`Self::stats`], but leaves the averaging window alone.
    pub(crate) fn peek(&self) -> Stats {
        let now = Instant::now();
        let mut state = self.state();
        let current = state.breaker.in_flight() + state.breaker.queued();
        Stats {
            in_flight: state.breaker.in_flight(),
            queued: state.breaker.queued(),
            concurrency: current as f64,
            ..self.totals(&mut state, now)
        }
    }

    fn totals(&self, state: &mut State, now: Instant) -> Stats {
        Stats {
            arrived_total: state.arrived,
            requests_total: self.requests.load(Ordering::Relaxed),
            responses: std::array::from_fn(|class| self.responses[class].load(Ordering::Relaxed)),
            request_time: state.load.total(now),
            last_request_at: state
                .last_request
                .and_then(|at| std::time::SystemTime::now().checked_sub(now - at)),
            ..Stats::default()
        }
    }

    /// Counts a response by the class of its status.
    pub(crate) fn count(&self, status: StatusCode) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.responses[class - 1].fetch_add(1, Ordering::Relaxed);
    }

    /// Lets a request through, now or when its turn has come. `avoid` is the endpoint that it just failed to
    /// reach. Dropping the future takes the request out of the queue.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        avoid: Option<&Arc<Backend>>,
    ) -> Result<Admission, Refusal> {
        let (place, config, cold, now) = {
            let now = Instant::now();
            let mut state = self.state();
            let Some(config) = state.config else {
                return Err(Refusal::UnknownRevision(self.key.clone()));
            };
            state.last_request = Some(now);
            // One that is to avoid an endpoint has been here before.
            state.arrived += u64::from(avoid.is_none());
            if let Some(backend) = state.breaker.admit(avoid) {
                state.load.enter(now);
                return Ok(Admission {
                    permit: Permit::new(self.clone(), backend),
                    config,
                    at: now,
                    waited: Duration::ZERO,
                    cold: false,
                });
            }
            let cold = !state.breaker.is_ready();
            if cold {
                self.poke();
                if let Some(failure) = &state.failure {
                    return Err(Refusal::Failed {
                        key: self.key.clone(),
                        failure: failure.clone(),
                    });
                }
            }
            (self.wait(&mut state, now)?, config, cold, now)
        };
        let permit = place.permit(config.queue_timeout, now).await?;
        let at = Instant::now();
        Ok(Admission {
            permit,
            config,
            at,
            waited: at - now,
            cold,
        })
    }

    fn wait(self: &Arc<Self>, state: &mut State, now: Instant) -> Result<Place, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let ticket = state.breaker.enqueue(sender).map_err(|full| {
            debug!(revision = %self.key, bound = full.0, "pending request queue full");
            Refusal::QueueFull {
                key: self.key.clone(),
                bound: full.0,
            }
        })?;
        state.load.enter(now);
        Ok(Place {
            revision: self.clone(),
            ticket,
            receiver,
        })
    }

    /// Called by the receiver of demands: from now on a new request pokes again.
    pub(crate) fn demand_seen(&self) {
        self.demanded.store(false, Ordering::Release);
    }

    fn poke(self: &Arc<Self>) {
        if !self.demanded.swap(true, Ordering::AcqRel) {
            // Fails only when nobody receives demands any more.
            let _ = self.demand.send(self.clone());
        }
    }

    fn backend(&self, endpoint: Endpoint) -> Backend {
        Backend::new(endpoint, &self.options)
    }

    /// Hands free places to those who wait. Takes the guard, so that they wake (and a permit nobody wanted
    /// is dropped) outside the lock.
    fn dispatch(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        // Nearly always none or one: a released place goes to one request.
        let Some(first) = state.breaker.next() else {
            return;
        };
        let mut rest = Vec::new();
        while let Some(next) = state.breaker.next() {
            rest.push(next);
        }
        drop(state);
        for (waiter, backend) in std::iter::once(first).chain(rest) {
            // If the request is gone the permit comes back in the error and is released by its drop.
            let _ = waiter.send(Ok(Permit::new(self.clone(), backend)));
        }
    }

    fn release(self: &Arc<Self>, backend: &Arc<Backend>, now: Instant) {
        let mut state = self.state();
        state.breaker.release(backend);
        state.load.leave(now);
        self.dispatch(state);
    }

    fn leave_queue(self: &Arc<Self>, ticket: Ticket) {
        let now = Instant::now();
        let mut state = self.state();
        if state.breaker.cancel(ticket) {
            state.load.leave(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empties the queue. Takes the guard, so that nobody wakes inside the lock.
fn refuse_all(mut state: MutexGuard<'_, State>, refusal: impl Fn() -> Refusal) {
    let now = Instant::now();
    let waiters: Vec<Waiter> = state.breaker.refuse_all().collect();
    for _ in &waiters {
        state.load.leave(now);
    }
    drop(state);
    for waiter in waiters {
        let _ = waiter.send(Err(refusal()));
    }
}

fn endpoint_id(endpoint: &Endpoint) -> &str {
    &endpoint.id
}

/// The right to have one request in flight at a backend; dropping it gives it to the next in the queue.
pub(crate) struct Permit {
    revision: Arc<Revision>,
    backend: Arc<Backend>,
    end: Option<Instant>,
}

impl Permit {
    fn new(revision: Arc<Revision>, backend: Arc<Backend>) -> Self {
        Self {
            revision,
            backend,
            end: None,
        }
    }

    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// As dropping it, for who knows the time.
    pub(crate) fn give_back(mut self, now: Instant) {
        self.end = Some(now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let end = self.end.unwrap_or_else(Instant::now);
        self.revision.release(&self.backend, end);
    }
}

/// A place in the queue; dropping it leaves the queue.
struct Place {
    revision: Arc<Revision>,
    ticket: Ticket,
    receiver: oneshot::Receiver<Result<Permit, Refusal>>,
}

impl Place {
    async fn permit(mut self, timeout: Duration, since: Instant) -> Result<Permit, Refusal> {
        let answer = if timeout.is_zero() {
            (&mut self.receiver).await
        } else {
            match tokio::time::timeout_at(since + timeout, &mut self.receiver).await {
                Ok(answer) => answer,
                Err(_elapsed) => {
                    return Err(Refusal::QueueTimeout {
                        key: self.revision.key.clone(),
                        timeout,
                        ready: self.revision.is_ready(),
                    });
                }
            }
        };
        // The sender lives in the queue until it is used, and the queue lives as long as the revision.
        answer.unwrap_or_else(|_| Err(Refusal::UnknownRevision(self.revision.key.clone())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.revision.leave_queue(self.ticket);
    }
}
