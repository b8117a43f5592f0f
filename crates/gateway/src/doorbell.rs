//! Waking the task that has a connection, except while it polls it.
//!
//! A connection, the streams on it and their bodies tell each other of every step by waking whoever polls them.
//! Here that is one task, which polls them all in turn: without this it would be scheduled again after every
//! step, to find that there is nothing to do.
//!
//! ```text
//!          attend                 ring
//! AWAY ──────────────► ATTENDED ────────► RUNG
//!  ▲ ring: wakes task     │                 │
//!  └──────────────────────┴─── poll again ◄─┘
//!        nothing rang
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

const AWAY: u8 = 0;
const ATTENDED: u8 = 1;
const RUNG: u8 = 2;

/// Polls in a row before other tasks get their turn.
const ROUNDS: u32 = 8;

/// Stands between what is polled and the task that polls it.
pub(crate) struct Doorbell {
    button: Arc<Button>,
    waker: Waker,
}

#[derive(Default)]
struct Button {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Default for Doorbell {
    fn default() -> Self {
        let button = Arc::<Button>::default();
        let waker = Waker::from(button.clone());
        Self { button, waker }
    }
}

impl Doorbell {
    /// Rings it.
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Calls `poll` until it is ready, or pending and nothing has rung meanwhile.
    pub(crate) fn attend<T>(
        &self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let state = &self.button.state;
        self.button.task.register(cx.waker());
        let mut within = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            state.store(ATTENDED, Ordering::SeqCst);
            let progress = poll(&mut within);
            if progress.is_ready() {
                state.store(AWAY, Ordering::SeqCst);
                return progress;
            }
            let quiet = state.compare_exchange(ATTENDED, AWAY, Ordering::SeqCst, Ordering::SeqCst);
            if quiet.is_ok() {
                return Poll::Pending;
            }
        }
        state.store(AWAY, Ordering::SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does something that will ring, and polls in place of the task that attends otherwise. That task is woken only if more is
    /// to be done. Must not happen while anybody attends.
    pub(crate) fn visit<T>(
        &self,
        work: impl FnOnce() -> T,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> T {
        let state = &self.button.state;
        let done = self.hush(work);
        let mut within = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            state.store(ATTENDED, Ordering::SeqCst);
            if poll(&mut within).is_ready() {
                break;
            }
            let quiet = state.compare_exchange(ATTENDED, AWAY, Ordering::SeqCst, Ordering::SeqCst);
            if quiet.is_ok() {
                return done;
            }
        }
        state.store(AWAY, Ordering::SeqCst);
        self.button.task.wake();
        done
    }

    /// Does something that will ring, before attending.
    pub(crate) fn hush<T>(&self, work: impl FnOnce() -> T) -> T {
        self.button.state.store(ATTENDED, Ordering::SeqCst);
        work()
    }
}

impl Wake for Button {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let attended = |state| (state == ATTENDED).then_some(RUNG);
        let rung = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, attended);
        if rung == Err(AWAY) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn ringing_while_attended_polls_again_and_wakes_nobody() {
        let (bell, count) = (Doorbell::default(), Arc::<Count>::default());
        let waker = Waker::from(count.clone());
        let mut polls = 0;
        let progress = bell.attend(&mut Context::from_waker(&waker), |cx| {
            polls += 1;
            if polls < 3 {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!((progress, polls), (Poll::Pending, 3));
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_visit_does_the_work_of_the_task_and_leaves_it_alone() {
        let (bell, count) = (Doorbell::default(), Arc::<Count>::default());
        let waker = Waker::from(count.clone());
        let mut kept = None;
        let _ = bell.attend(&mut Context::from_waker(&waker), |cx| {
            kept = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        let button = kept.unwrap();
        let mut polls = 0;
        let poll = |cx: &mut Context<'_>| {
            polls += 1;
            if polls == 1 {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        };
        bell.visit(|| button.wake_by_ref(), poll);
        assert_eq!((polls, count.0.load(Ordering::SeqCst)), (2, 0));
        button.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "it still attends");
        let _ = bell.attend(&mut Context::from_waker(&waker), |_| Poll::<()>::Pending);
        bell.visit(|| (), |_| Poll::Ready(()));
        assert_eq!(count.0.load(Ordering::SeqCst), 2, "to see the end");
    }

    #[test]
    fn ringing_while_away_wakes_the_task() {
        let (bell, count) = (Doorbell::default(), Arc::<Count>::default());
        let waker = Waker::from(count.clone());
        let mut kept = None;
        let _ = bell.attend(&mut Context::from_waker(&waker), |cx| {
            kept = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        kept.unwrap().wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_never_stops_ringing_gives_others_their_turn() {
        let (bell, count) = (Doorbell::default(), Arc::<Count>::default());
        let waker = Waker::from(count.clone());
        let progress = bell.attend(&mut Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(progress, Poll::Pending);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
