use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// A deadline that is set again and again. It keeps its place in the runtime's timer wheel: moving a
/// registered timer to a later time takes no lock, making a new one does, and every request needs one.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Timer {
    /// Sets the deadline; `None` is never.
    pub(crate) fn set(&mut self, deadline: Option<Instant>) {
        self.armed = deadline.is_some();
        match (deadline, &mut self.sleep) {
            (None, _) => {}
            (Some(deadline), Some(sleep)) => sleep.as_mut().reset(deadline),
            (Some(deadline), empty) => {
                *empty = Some(Box::pin(tokio::time::sleep_until(deadline)));
            }
        }
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.armed => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}
