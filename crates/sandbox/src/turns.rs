//! Clones come up in turns: more of them at once than there are processors for come up no sooner, all of them late.
//!
//! A clone has its turn from taking its place until it is ready. While any has, no spare hypervisor is made: to start one would
//! take the processor that a request waits for.

use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Turns at once for each processor. A clone that loads waits now and then, for the disk or for its hypervisor's answer.
const PER_PROCESSOR: usize = 2;
/// How long nobody's turn may have ended before those who wait do not wait on: a clone that hangs must not hold up all others.
const PATIENCE: Duration = Duration::from_secs(2);

/// The turns of a node. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Inner>);

struct Inner {
    free: Arc<Semaphore>,
    seen: Mutex<Seen>,
    ended: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    under_way: usize,
    last_ended: Option<Instant>,
}

/// One clone's turn. Dropping it ends it.
pub(crate) struct Turn {
    turns: Turns,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Inner {
            free: Arc::new(Semaphore::new(processors * PER_PROCESSOR)),
            seen: Mutex::default(),
            ended: Notify::new(),
        }))
    }

    /// Waits for a turn, first come first served.
    pub(crate) async fn take(&self) -> Turn {
        let begun = Instant::now();
        let permit = tokio::select! {
            biased;
            // It is never closed.
            permit = self.0.free.clone().acquire_owned() => permit.ok(),
            () = self.stuck(begun) => None,
        };
        self.seen().under_way += 1;
        Turn {
            turns: self.clone(),
            _permit: permit,
        }
    }

    /// Returns when no turn has ended for too long.
    async fn stuck(&self, begun: Instant) {
        loop {
            let last = self.seen().last_ended.map_or(begun, |last| last.max(begun));
            let over = last + PATIENCE;
            if over <= Instant::now() {
                return;
            }
            sleep_until(over).await;
        }
    }

    /// Waits until there has been no turn for so long, but not past `latest`.
    pub(crate) async fn quiet(&self, long: Duration, latest: Instant) {
        loop {
            let ended = self.0.ended.notified();
            let end = quiet_from(*self.seen(), long).map_or(latest, |end| end.min(latest));
            if end <= Instant::now() {
                return;
            }
            tokio::select! {
                () = ended => {}
                () = sleep_until(end) => {}
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From when it is quiet, if nobody's turn begins; `None` while somebody has one.
fn quiet_from(seen: Seen, long: Duration) -> Option<Instant> {
    match seen {
        Seen {
            under_way: 0,
            last_ended,
        } => Some(last_ended.map_or_else(Instant::now, |ended| ended + long)),
        Seen { .. } => None,
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut seen = self.turns.seen();
        seen.under_way -= 1;
        seen.last_ended = Some(Instant::now());
        drop(seen);
        self.turns.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn all(turns: &Turns) -> usize {
        turns.0.free.available_permits()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_when_all_turns_are_taken_waits_for_the_end_of_one() {
        let turns = Turns::new();
        let mut taken = Vec::new();
        for _ in 0..all(&turns) {
            taken.push(turns.take().await);
        }
        let next = turns.take();
        tokio::pin!(next);
        assert!(next.as_mut().now_or_never().is_none());
        drop(taken.pop());
        assert!(next.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn clones_that_hang_do_not_hold_up_the_others_for_ever() {
        let turns = Turns::new();
        let mut hang = Vec::new();
        for _ in 0..all(&turns) {
            hang.push(turns.take().await);
        }
        let before = Instant::now();
        let _next = turns.take().await;
        assert_eq!(before.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_quiet_a_moment_after_the_last_turn() {
        let turns = Turns::new();
        let (long, start) = (Duration::from_millis(250), Instant::now());
        let latest = start + Duration::from_secs(5);
        turns.quiet(long, latest).await;
        assert_eq!(Instant::now(), start, "nobody has had a turn");

        let turn = turns.take().await;
        let quiet = turns.quiet(long, latest);
        tokio::pin!(quiet);
        assert!(quiet.as_mut().now_or_never().is_none());
        drop(turn);
        quiet.await;
        assert_eq!(Instant::now(), start + long);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_waiting_for_quiet() {
        let turns = Turns::new();
        let _turn = turns.take().await;
        let latest = Instant::now() + Duration::from_secs(5);
        turns.quiet(Duration::from_millis(250), latest).await;
        assert_eq!(Instant::now(), latest);
    }
}
