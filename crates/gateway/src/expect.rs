//! `Expect: 100-continue` from end to end (RFC 9110 §10.1.1): the client's body is held back until the
//! instance asks for it, so that an instance which refuses never costs the client an upload.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http::HeaderMap;
use http::header::EXPECT;
use tokio::time::Sleep;

use crate::fields::{Field, Fields};

/// An instance that does not know the mechanism stays silent; a client should not wait for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// Closed until the instance said 100, or said nothing for a while.
pub(crate) struct Gate {
    signal: Arc<Signal>,
    patience: Option<Pin<Box<Sleep>>>,
}

#[derive(Default)]
struct Signal {
    open: AtomicBool,
    waker: AtomicWaker,
}

pub(crate) struct Opener(Arc<Signal>);

pub(crate) fn is_expected(headers: &HeaderMap, fields: Fields) -> bool {
    fields.has(Field::Expect)
        && headers
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

pub(crate) fn gate() -> (Gate, Opener) {
    let signal = Arc::<Signal>::default();
    let gate = Gate {
        signal: signal.clone(),
        patience: None,
    };
    (gate, Opener(signal))
}

impl Opener {
    /// Opens the gate: the instance said 100.
    pub(crate) fn open(&self) {
        self.0.open.store(true, Ordering::Release);
        self.0.waker.wake();
    }
}

impl Gate {
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.signal.waker.register(cx.waker());
        if self.signal.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)))
            .as_mut()
            .poll(cx)
    }
}
