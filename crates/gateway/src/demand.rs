//! Telling the autoscaler that somebody waits for a revision that has no instance.
//!
//! Pokes coalesce: between two [`DemandReceiver::recv`] a revision is named once, however many requests
//! wait for it.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::key::RevisionKey;
use crate::revision::Revision;

pub(crate) type DemandSender = UnboundedSender<Arc<Revision>>;

/// Yields the revisions for which a request waits while no endpoint is ready.
pub struct DemandReceiver(UnboundedReceiver<Arc<Revision>>);

impl DemandReceiver {
    /// The next revision in demand; `None` once the gateway is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<RevisionKey> {
        let revision = self.0.recv().await?;
        revision.demand_seen();
        Some(revision.key().clone())
    }
}

pub(crate) fn channel() -> (DemandSender, DemandReceiver) {
    let (sender, receiver) = unbounded_channel();
    (sender, DemandReceiver(receiver))
}
