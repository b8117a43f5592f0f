//! Following the watch log.
//!
//! A watch is a place in the log, not a queue: it costs nothing while nobody reads it, and one that falls behind the end
//! of the log is told so and ends. Writers never wait for it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Event, Key, key::prefix, state::Shared};

/// Events that one call copies at most, to keep the lock short.
const BATCH: usize = 256;
/// Events that one call looks at, at most.
const SCAN: usize = 4096;

/// Events after a resourceVersion, each once and in order.
pub struct Watch {
    shared: Arc<Shared>,
    bell: watch::Receiver<u64>,
    /// Everything up to here has been handed out, or is none of this watch's.
    position: u64,
    prefix: String,
}

impl Watch {
    pub(super) fn new(
        shared: Arc<Shared>,
        resource: Option<&str>,
        namespace: Option<&str>,
        from: u64,
    ) -> Result<Self, Error> {
        let bell = shared.subscribe();
        let (oldest, current) = {
            let state = shared.read();
            (state.log.oldest(), state.log.last())
        };
        if from > current {
            return Err(Error::Future {
                wanted: from,
                current,
            });
        }
        if from < oldest {
            return Err(Error::Expired {
                wanted: from,
                oldest,
            });
        }
        let prefix = resource.map_or_else(String::new, |resource| prefix(resource, namespace));
        Ok(Self {
            shared,
            bell,
            position: from,
            prefix,
        })
    }

    /// The resourceVersion up to which everything has been handed out: what a bookmark says.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Waits for events and returns some, at least one. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Error::Expired`] when the watch fell behind the log; [`Error::Closed`] when the store is gone.
    pub async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            // Marked as seen before the log is read: what comes after rings again.
            self.bell.borrow_and_update();
            let (events, more) = self.take()?;
            if !events.is_empty() {
                return Ok(events);
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            self.bell.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    /// The next events, and whether the log has more to look at.
    fn take(&mut self) -> Result<(Vec<Event>, bool), Error> {
        let state = self.shared.read();
        let Some(log) = state.log.since(self.position) else {
            return Err(Error::Expired {
                wanted: self.position,
                oldest: state.log.oldest(),
            });
        };
        let mut events = Vec::new();
        for event in log.take(SCAN) {
            self.position = event.resource_version();
            if concerns(&self.prefix, event.object.key()) {
                events.push(event.clone());
                if events.len() == BATCH {
                    break;
                }
            }
        }
        Ok((events, self.position < state.log.last()))
    }
}

fn concerns(prefix: &str, key: &Key) -> bool {
    key.as_str().starts_with(prefix)
}
