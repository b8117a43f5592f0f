//! Clients that do not take the response they asked for.
//!
//! A response body keeps its deadlines while it is polled, and the server polls it only when there is room for more on the way
//! to the client. A client that stops reading would so hold its place in the instance for ever. Therefore the body says when it
//! is waited for and when not, and what polls the server (a stream of HTTP/2, or a whole connection of HTTP/1.1) is given up if
//! the deadline passes while it is not.
//!
//! ```text
//!             part handed over
//! ASKED ──────────────────────────► STALLED(deadline) ── deadline passes ──► given up
//!   ▲  body keeps its deadlines           │
//!   └──────────── polled, ended ──────────┘
//! ```
//!
//! The server's futures cannot be looked into, so the body speaks past them, to whoever polls in this thread.

use std::cell::Cell;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::upstream::Timer;

thread_local! {
    /// Of what is being polled.
    static STALLED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Said by a body: the server has a part of it, and may not come back. `None` is no deadline.
pub(crate) fn handed_over(deadline: Option<Instant>) {
    STALLED.set(deadline);
}

/// Said by a body: the server has come for more, or needs no more.
pub(crate) fn asked() {
    STALLED.set(None);
}

/// Watches over one stream or connection.
#[derive(Default)]
pub(crate) struct Watch {
    stalled: Option<Instant>,
    /// For `stalled`. Most responses never need it.
    timer: Timer,
}

impl Watch {
    /// Polls what is watched; ready with `None` when it is to be given up.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        // One may be polled from within another.
        let outer = STALLED.replace(self.stalled);
        let progress = poll(cx);
        let stalled = STALLED.replace(outer);
        if let Poll::Ready(output) = progress {
            return Poll::Ready(Some(output));
        }
        if stalled != self.stalled {
            self.stalled = stalled;
            self.timer.set(stalled);
        }
        self.timer.poll(cx).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_not_polled_for_more_is_given_up() {
        let start = Instant::now();
        let mut watch = Watch::default();
        let deadline = start + Duration::from_secs(5);
        let stalled = poll_fn(|cx| {
            watch.poll(cx, |_| {
                handed_over(Some(deadline));
                Poll::<()>::Pending
            })
        });
        assert_eq!(stalled.await, None);
        assert_eq!(start.elapsed(), Duration::from_secs(5));

        let mut asking = poll_fn(|cx| {
            watch.poll(cx, |_| {
                asked();
                Poll::<()>::Pending
            })
        });
        let long = Duration::from_secs(60);
        assert!(tokio::time::timeout(long, &mut asking).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_within_another_leaves_it_alone() {
        let (mut outer, mut inner) = (Watch::default(), Watch::default());
        let now = Instant::now();
        let progress = poll_fn(|cx| {
            Poll::Ready(outer.poll(cx, |cx| {
                let inside = inner.poll(cx, |_| {
                    handed_over(Some(now));
                    Poll::<()>::Pending
                });
                assert!(inside.is_ready());
                Poll::<()>::Pending
            }))
        });
        assert_eq!(progress.await, Poll::Pending);
    }
}
