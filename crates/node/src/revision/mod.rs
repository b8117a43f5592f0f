//! One revision being run: a task that owns its instances, and the handle that others hold.
//!
//! ```text
//!   controller ──Command──► actor ──start/stop──► sandbox
//!       ▲                   │  ▲                     │
//!       └── Observation ────┘  └──── state of each ──┘
//!                           └──endpoints, failure──► gateway
//! ```

mod actor;
mod faces;
mod failure;
mod fleet;
mod saving;
mod scaling;

use std::collections::BTreeSet;
use std::sync::Arc;

use control::RevisionObservation;
use gateway::{Gateway, RevisionKey};
use sandbox::{Memory, Sandbox};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::demand::Doorbells;
use crate::images::Images;
use crate::instances::Instances;
use crate::logs::Logs;
use crate::settings::Settings;
use crate::shown::{Recorder, Shown, Template};
use crate::sources::{ObjectName, Sources};
use crate::workload::Workload;

pub(crate) use saving::{Asker, Trouble};

/// What every revision's actor works with.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) sandbox: Sandbox,
    pub(crate) images: Images,
    pub(crate) sources: Sources,
    pub(crate) gateway: Gateway,
    pub(crate) instances: Instances,
    pub(crate) logs: Logs,
    pub(crate) doorbells: Doorbells,
    pub(crate) budget: Budget,
    pub(crate) shown: Shown,
    pub(crate) events: Recorder,
    pub(crate) settings: Settings,
    /// The number of answered requests after which a revision is saved; 0 for never.
    pub(crate) snapshot_after: u64,
    /// How memory arrives where the revision does not say.
    pub(crate) memory: Memory,
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
    /// Something that its instances take values or files from has changed.
    Sources,
    /// Take a snapshot now, and tell how it went.
    Save(Asker),
    /// A client wants this instance to end, or the remains of one that has ended to go.
    End {
        instance: String,
        /// Seconds that it may take, where the client says.
        grace: Option<u64>,
    },
    /// The revision is no more: leave nothing of it.
    Deleted,
}

/// A running revision. Dropping it stops its instances, in the background.
pub(crate) struct Runner {
    commands: mpsc::UnboundedSender<Command>,
    observed: watch::Receiver<RevisionObservation>,
    task: JoinHandle<()>,
    withdrawn: CancellationToken,
    /// What it was last told.
    routed: Option<bool>,
    /// The objects that its instances take values and files from.
    references: BTreeSet<ObjectName>,
}

impl Runner {
    /// Starts the actor of a revision, which begins when its predecessor of the same name is [withdrawn](Self::withdrawn).
    pub(crate) fn spawn(
        workload: Workload,
        template: Template,
        hands: Hands,
        predecessor: Option<CancellationToken>,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        hands.doorbells.install(&workload.key, &commands);
        let (publish, observed) = watch::channel(RevisionObservation::default());
        let withdrawn = CancellationToken::new();
        let guard = withdrawn.clone().drop_guard();
        let references = workload.references();
        let template = template.given(&workload.own_env(), workload.port());
        let mut actor = actor::Actor::new(Arc::new(workload), template, hands, publish, guard);
        if predecessor.is_none() {
            // Before any route leads here.
            actor.enter_gateway();
        }
        let task = tokio::spawn(actor.run(inbox, predecessor));
        Self {
            commands,
            observed,
            task,
            withdrawn,
            routed: None,
            references,
        }
    }

    /// Tells the actor whether any route sends traffic here, if that is news.
    pub(crate) fn tell_routed(&mut self, routed: bool) {
        if self.routed != Some(routed) {
            self.routed = Some(routed);
            self.tell(Command::Routed(routed));
        }
    }

    /// Tells the actor that an object has changed, or with `None` that any may have, if its instances take something from it.
    pub(crate) fn tell_changed(&self, object: Option<&ObjectName>) {
        let concerned = match object {
            Some(object) => self.references.contains(object),
            None => !self.references.is_empty(),
        };
        if concerned {
            self.tell(Command::Sources);
        }
    }

    /// Tells the actor something; it may have ended, which is no concern of the caller.
    fn tell(&self, command: Command) {
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
    pub(crate) async fn stop(self) {
        drop(self.commands);
        let _ = self.task.await;
    }

    /// As [`Self::stop`]; then removes whatever was kept for the revision.
    pub(crate) async fn delete(self) {
        self.tell(Command::Deleted);
        self.stop().await;
    }
}
