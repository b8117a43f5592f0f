//! One revision being run: a task that owns its instances, and the handle that others hold.
//!
//! ```text
//!   controller ──Command──► actor ──start/stop──► sandbox
//!       ▲                   │  ▲                     │
//!       └── Observation ────┘  └──── state of each ──┘
//!                           └──endpoints, failure──► gateway
//! ```

mod actor;
mod fleet;

use std::sync::Arc;

use control::RevisionObservation;
use gateway::{Gateway, RevisionKey};
use sandbox::Sandbox;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::images::Images;
use crate::instances::Instances;
use crate::workload::Workload;

/// What every revision's actor works with.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) sandbox: Sandbox,
    pub(crate) images: Images,
    pub(crate) gateway: Gateway,
    pub(crate) instances: Instances,
    /// Told when the observation of a revision changed.
    pub(crate) changed: mpsc::UnboundedSender<RevisionKey>,
}

/// What an actor is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A request waits and no instance is ready.
    Demand,
    /// Whether any route sends traffic here.
    Routed(bool),
}

/// A running revision. Dropping it stops its instances, in the background.
pub(crate) struct Runner {
    commands: mpsc::UnboundedSender<Command>,
    observed: watch::Receiver<RevisionObservation>,
    task: JoinHandle<()>,
    withdrawn: CancellationToken,
}

impl Runner {
    /// Starts the actor of a revision, which begins when its predecessor of the same name is [withdrawn](Self::withdrawn).
    pub(crate) fn spawn(
        workload: Workload,
        hands: Hands,
        predecessor: Option<CancellationToken>,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (publish, observed) = watch::channel(RevisionObservation::default());
        let withdrawn = CancellationToken::new();
        let guard = withdrawn.clone().drop_guard();
        let actor = actor::Actor::new(Arc::new(workload), hands, publish, guard);
        let task = tokio::spawn(actor.run(inbox, predecessor));
        Self {
            commands,
            observed,
            task,
            withdrawn,
        }
    }

    /// Tells the actor something; it may have ended, which is no concern of the caller.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    pub(crate) fn observation(&self) -> RevisionObservation {
        self.observed.borrow().clone()
    }

    /// Cancelled when this runner has left the gateway, though its instances may still finish their requests.
    pub(crate) fn withdrawn(&self) -> CancellationToken {
        self.withdrawn.clone()
    }

    /// Stops all instances and waits until they are gone.
    pub(crate) async fn retire(self) {
        drop(self.commands);
        let _ = self.task.await;
    }
}
