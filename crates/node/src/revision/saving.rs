//! The snapshot of a revision: when one is due, an instance is taken out of service for a moment and saved.

use std::sync::Arc;
use std::time::Duration;

use control::snapshot::{self, Input};
use gateway::{Gateway, RevisionKey};
use jiff::Timestamp;
use sandbox::snapshots::{Snapshot, Snapshots};
use sandbox::{Handle, SaveError};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

/// How long an instance may take to be done with its requests before the snapshot is put off.
const DRAIN: Duration = Duration::from_millis(200);

/// Whoever asked for a snapshot by hand.
pub(crate) type Asker = oneshot::Sender<Result<Arc<Snapshot>, Trouble>>;

/// How the saving of one instance went.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) instance: String,
    pub(super) result: Result<Arc<Snapshot>, Trouble>,
}

/// Why an instance was not saved.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Requests kept coming.
    Busy,
    /// The node neither saves nor restores.
    Off,
    Failed(SaveError),
}

/// What an actor knows of its revision's snapshot.
#[derive(Debug)]
pub(super) struct Saving {
    key: String,
    /// The number of answered requests after which there should be one; 0 if there are to be none.
    after: u64,
    under_way: bool,
    failures: u32,
    last_failure: Option<Timestamp>,
}

impl Saving {
    pub(super) fn new(key: String, after: u64) -> Self {
        Self {
            key,
            after,
            under_way: false,
            failures: 0,
            last_failure: None,
        }
    }

    /// Whether an instance should be saved now.
    pub(super) fn due(
        &self,
        snapshots: &Snapshots,
        (answered, ready, busy): (u64, u32, u32),
        now: Timestamp,
    ) -> bool {
        let input = Input {
            after: self.after,
            answered,
            exists: self.under_way,
            ready,
            busy,
            failures: self.failures,
            last_failure: self.last_failure,
        };
        snapshot::due(&input, now) && snapshots.find(&self.key).is_none()
    }

    /// Whether snapshots are taken and used at all.
    pub(super) fn is_on(&self) -> bool {
        self.after > 0
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Saves `instance`, which the gateway sends no requests any more, and tells `done`.
    pub(super) fn begin(
        &mut self,
        instance: Handle,
        gateway: &Gateway,
        revision: &RevisionKey,
        done: mpsc::UnboundedSender<Saved>,
        asker: Option<Asker>,
    ) {
        self.under_way = true;
        let drained = gateway.drained(revision, instance.id());
        tokio::spawn(async move {
            let result = match tokio::time::timeout(DRAIN, drained).await {
                Ok(()) => instance.save().await.map_err(Trouble::Failed),
                Err(_) => Err(Trouble::Busy),
            };
            if let Some(asker) = asker {
                // Who asked may have gone.
                let _ = asker.send(result.clone());
            }
            let instance = instance.id().to_owned();
            // The actor may have ended.
            let _ = done.send(Saved { instance, result });
        });
    }

    /// Notes how it went.
    pub(super) fn ended(&mut self, saved: &Saved, revision: &RevisionKey, now: Timestamp) {
        self.under_way = false;
        match &saved.result {
            Ok(snapshot) => {
                let id = &snapshot.manifest().id;
                info!(%revision, snapshot = id, bytes = snapshot.on_disk(), "snapshot");
                (self.failures, self.last_failure) = (0, None);
            }
            // What went wrong was logged where it did.
            Err(Trouble::Failed(_)) => self.failed(now),
            Err(Trouble::Busy | Trouble::Off) => {}
        }
    }

    /// A snapshot could not be taken, or not be restored.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.failures += 1;
        self.last_failure = Some(now);
    }
}
