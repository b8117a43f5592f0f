//! What an HTTP/2 connection asks to have run, one future or more for each stream, is run in the task that has the connection.
//!
//! In tasks of their own every step of a request would wake another task, often on another processor, only to have it wake the
//! connection again: that costs more than all that is done for the request itself. So one task does all the work of one
//! connection, and many connections share the processors.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;

use crate::stall::Watch;

/// Where the connection puts them.
#[derive(Clone)]
pub(crate) struct Alongside(Arc<Mutex<Option<Vec<BoxFuture<'static, ()>>>>>);

/// Those that run. Dropping it ends them.
pub(crate) struct Companions {
    new: Alongside,
    running: FuturesUnordered<Companion>,
}

struct Companion {
    future: BoxFuture<'static, ()>,
    watch: Watch,
}

impl Companion {
    fn new(future: BoxFuture<'static, ()>) -> Self {
        Self {
            future,
            watch: Watch::default(),
        }
    }
}

impl Future for Companion {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { future, watch } = &mut *self;
        // Given up it is dropped, which resets its stream.
        watch.poll(cx, |cx| future.as_mut().poll(cx)).map(|_| ())
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Alongside {
    fn execute(&self, future: F) {
        if let Some(new) = &mut *self.queue() {
            new.push(future.boxed());
        }
    }
}

impl Alongside {
    fn queue(&self) -> MutexGuard<'_, Option<Vec<BoxFuture<'static, ()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Companions {
    /// None yet, and where to put them.
    pub(crate) fn new() -> (Self, Alongside) {
        let new = Alongside(Arc::new(Mutex::new(Some(Vec::new()))));
        let companions = Self {
            new: new.clone(),
            running: FuturesUnordered::new(),
        };
        (companions, new)
    }

    /// Lets all that can go on do so; ready if there are none left.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(new) = &mut *self.new.queue() {
                self.running.extend(new.drain(..).map(Companion::new));
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.new.queue().as_ref().is_some_and(|new| !new.is_empty()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Companions {
    fn drop(&mut self) {
        // They hold the executor themselves, and would keep each other.
        let left = self.new.queue().take();
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn futures_run_when_polled_and_may_ask_for_more() {
        let (mut companions, alongside) = Companions::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(companions.poll(&mut cx), Poll::Ready(()));
        let (go, gone) = oneshot::channel::<()>();
        let (done, mut seen) = oneshot::channel();
        let inner = alongside.clone();
        alongside.execute(async move {
            let _ = gone.await;
            inner.execute(async move {
                let _ = done.send(());
            });
        });
        assert_eq!(companions.poll(&mut cx), Poll::Pending);
        assert!(seen.try_recv().is_err());
        go.send(()).unwrap();
        assert_eq!(companions.poll(&mut cx), Poll::Ready(()));
        assert!(seen.try_recv().is_ok());
    }

    #[test]
    fn they_end_with_their_owner_also_those_that_never_began() {
        let (mut companions, alongside) = Companions::new();
        let dropped: Vec<_> = (0..2)
            .map(|number| {
                let (held, dropped) = oneshot::channel::<()>();
                let inner = alongside.clone();
                alongside.execute(async move {
                    std::future::pending::<()>().await;
                    drop((held, inner));
                });
                if number == 0 {
                    let _ = companions.poll(&mut Context::from_waker(Waker::noop()));
                }
                dropped
            })
            .collect();
        drop(companions);
        for mut one in dropped {
            assert_eq!(one.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        }
        alongside.execute(async {});
    }
}
