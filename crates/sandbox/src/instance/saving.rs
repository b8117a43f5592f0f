//! The effects of taking a snapshot. The guest stands still only while its state and memory are copied; all the rest, such as
//! bringing it to the disk, is done while it runs again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use sys::netns::NetNs;
use tokio::sync::{Mutex, oneshot};
use tracing::{info, warn};
use vmm::agent::Commands;
use vmm::{Machine, SaveTarget};

use super::restoring;
use super::steps::{OUT_OF_ORDER, Outcome};
use crate::config::Shape;
use crate::snapshots::{Draft, Origin, Snapshot, Snapshots};
use crate::spares::Spares;
use crate::{blocking, chain};

/// Whom to tell how the taking of a snapshot went.
pub(crate) type Answer = oneshot::Sender<Result<Arc<Snapshot>, SaveError>>;

/// A snapshot of an instance was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The instance is not ready: it starts, ends, or is being saved.
    #[error("the instance is not ready")]
    NotReady,
    /// The instance was started without [`crate::Spec::snapshot`], or from a snapshot.
    #[error("the instance {0}")]
    NotForThis(&'static str),
    /// It could not be written, or the instance did not survive it.
    #[error("{0}")]
    Failed(String),
}

/// A snapshot that is to be taken.
pub(super) struct Order {
    pub(super) snapshots: Snapshots,
    pub(super) key: String,
    pub(super) origin: Origin,
    /// Where a hypervisor waits for the first that is restored.
    pub(super) spares: Spares,
    pub(super) shape: Shape,
    pub(super) answer: Answer,
}

/// Has the agent hang up.
pub(super) async fn quiesce(commands: Option<Arc<Mutex<Commands>>>) -> Outcome {
    Outcome::Quiescing(
        async {
            let commands = commands.ok_or(OUT_OF_ORDER)?;
            let asked = commands.lock().await.quiesce().await;
            asked.map_err(|error| chain(&error))
        }
        .await,
    )
}

/// Writes the guest and lets it run on. Only a guest that does not run on is a failure of the instance.
pub(super) async fn write(
    machine: Option<Machine>,
    namespace: Option<Arc<NetNs>>,
    order: Option<Order>,
) -> Outcome {
    Outcome::Written(
        async {
            let mut machine = machine.ok_or(OUT_OF_ORDER)?;
            let (namespace, order) = (namespace.ok_or(OUT_OF_ORDER)?, order.ok_or(OUT_OF_ORDER)?);
            let written = save(&mut machine, &order).await;
            // Not before the guest stands still, or its agent would be saved with a connection that no clone has.
            let agent = restoring::listen(&namespace).await?;
            machine.resume().await.map_err(|error| chain(&error))?;
            tokio::spawn(finish(written, order));
            Ok((machine, agent))
        }
        .await,
    )
}

async fn save(machine: &mut Machine, order: &Order) -> Result<Draft, String> {
    let (snapshots, key) = (order.snapshots.clone(), order.key.clone());
    let (draft, target) = blocking(move || {
        let draft = snapshots.draft(&key).map_err(|error| chain(&error))?;
        let target = SaveTarget {
            state: create(&draft.state())?,
            memory: create(&draft.memory())?,
        };
        Ok::<_, String>((draft, target))
    })
    .await?;
    let saved = machine.save(target).await.map_err(|error| chain(&error))?;
    info!(
        key = order.key,
        state_bytes = saved.state_bytes,
        memory_bytes = saved.memory_bytes,
        phases = ?saved.phases,
        "saved"
    );
    Ok(draft)
}

/// Makes what was written a snapshot.
async fn finish(written: Result<Draft, String>, order: Order) {
    let Order {
        snapshots,
        key,
        origin,
        spares,
        shape,
        answer,
    } = order;
    let committed = match written {
        Ok(draft) => {
            blocking(move || {
                snapshots
                    .commit(draft, origin, Timestamp::now())
                    .map_err(|error| chain(&error))
            })
            .await
        }
        Err(error) => Err(error),
    };
    if committed.is_ok() {
        spares.expect(shape);
    }
    let result = committed.map_err(|error| {
        warn!(error, key, "no snapshot was taken");
        SaveError::Failed(error)
    });
    // Whoever asked may have gone.
    let _ = answer.send(result);
}

fn create(path: &Path) -> Result<File, String> {
    // Whatever secrets the guest has are in it.
    let made: io::Result<File> = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.map_err(|error| format!("cannot make {}: {error}", path.display()))
}
