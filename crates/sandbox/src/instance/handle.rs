//! What everybody but its owner holds of an instance.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sys::netns::NetNs;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use vmm::agent::Command;
use vmm::agent::protocol::{Contents, Executed};

use super::saving::{Answer, SaveError};
use crate::exec::{Door, ExecError};
use crate::logs::Log;
use crate::network;
use crate::snapshots::Snapshot;
use crate::state::{Exit, State};

/// How long one part of a start took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Of a boot: `network`, `hypervisor`, `boot`, `agent` and `function`, in this order. Of a restore: `pool`, `bind`, `load`,
    /// `resume` and `agent`, and `function` if its readiness is more than that somebody listens.
    pub name: &'static str,
    /// How long it took.
    pub duration: Duration,
}

/// An instance, as seen from outside. Cloning is cheap, and dropping handles changes nothing for the instance.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Shared>);

/// What the owner of an instance is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Stop, with this grace for the function.
    Stop(Duration),
    /// Take a snapshot.
    Save(Answer),
    /// The first request has been answered.
    Served,
    /// Volumes hold something else now.
    Update(Vec<Contents>),
}

/// What the owner and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) port: u16,
    pub(crate) log: Log,
    pub(crate) state: watch::Sender<State>,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    /// There while sockets can be made in it; guests are reached without any other lock.
    pub(crate) namespace: Mutex<Option<Arc<NetNs>>>,
    pub(crate) phases: Mutex<Vec<Phase>>,
    pub(crate) pid: OnceLock<u32>,
    /// Where commands are run.
    pub(crate) door: Door,
    pub(crate) exit: OnceLock<Exit>,
    /// What it is restored from.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// Whether its readiness probe has not failed since it was ready, or has succeeded again.
    pub(crate) well: AtomicBool,
    /// Whether its hypervisor was killed by somebody else.
    pub(crate) killed: AtomicBool,
    /// Cancelled when everything the instance owned is gone.
    pub(crate) released: CancellationToken,
}

impl Shared {
    pub(crate) fn set_namespace(&self, namespace: Option<Arc<NetNs>>) {
        *self
            .namespace
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = namespace;
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.send_if_modified(|before| {
            let news = *before != state;
            *before = state;
            news
        });
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        let phases = self.phases.lock();
        phases.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_phase(&self, phase: Phase) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.push(phase);
    }
}

impl Handle {
    /// The instance's name.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Where the instance is in its life.
    pub fn state(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// Whether a ready instance says that it can be sent requests: its readiness probe goes on being tried, if it is one that says
    /// more than that somebody listens.
    pub fn is_well(&self) -> bool {
        self.0.well.load(Ordering::Acquire)
    }

    /// Whether it failed because its hypervisor was told to end by a signal of somebody else's: of the machine's operator, say. That says
    /// nothing about the function.
    pub fn was_killed(&self) -> bool {
        self.0.killed.load(Ordering::Acquire)
    }

    /// The state and its changes. A change can be missed when others follow quickly; the last never is.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// Waits until the instance is ready or will never be; returns the state that decided it.
    pub async fn settled(&self) -> State {
        let mut states = self.watch();
        let settled = states
            .wait_for(|state| !matches!(state, State::Pending | State::Starting))
            .await
            .map(|state| state.clone());
        // The sender lives in `self`, so it cannot be gone.
        settled.unwrap_or_else(|_| self.state())
    }

    /// Connects to the function's port, from inside the instance's namespace. Fails with `NotConnected` when the
    /// instance has no network, or loses it meanwhile.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        self.connect_to(self.0.port).await
    }

    /// Connects to another port of the guest in the same way.
    pub async fn connect_to(&self, port: u16) -> io::Result<TcpStream> {
        let namespace = self
            .0
            .namespace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(namespace) = namespace else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        tokio::select! {
            stream = network::connect(&namespace, port) => stream,
            () = self.0.released.cancelled() => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Runs a command beside the function, and returns when it has ended. Any number may run at once. Dropping this lets the command run
    /// on, until its time is over.
    ///
    /// Fails with [`ExecError::NotRunning`] while the instance has no function that runs.
    pub async fn exec(&self, command: Command) -> Result<Executed, ExecError> {
        tokio::select! {
            executed = self.0.door.exec(command) => executed,
            () = self.0.released.cancelled() => Err(ExecError::NotRunning),
        }
    }

    /// Asks the instance to stop: the function is told to end and killed when `grace` is over, or now if it is zero.
    /// Asking again can only shorten the grace. Returns at once; see [`Handle::stopped`].
    pub fn stop(&self, grace: Duration) {
        // Nobody listens any more when the instance has ended, which is what is wanted.
        let _ = self.0.orders.send(Order::Stop(grace));
    }

    /// Takes a snapshot of the instance, which must be ready and without a request; it does not answer until its state is
    /// [`State::Ready`] again. This returns when the snapshot is on disk, too, or is known not to be.
    pub async fn save(&self) -> Result<Arc<Snapshot>, SaveError> {
        let (answer, answered) = oneshot::channel();
        if self.0.orders.send(Order::Save(answer)).is_err() {
            return Err(SaveError::NotReady);
        }
        let saved = answered.await.unwrap_or_else(|_| {
            let what = "the instance ended while it was saved";
            Err(SaveError::Failed(what.into()))
        });
        if let Ok(_) | Err(SaveError::Failed(_)) = saved {
            // What could not be written is known before the guest is back. The sender lives in `self`, so it cannot be gone.
            let _ = self.watch().wait_for(|it| *it != State::Saving).await;
        }
        saved
    }

    /// Tells that the instance has answered its first request: if the pages that this took are being recorded, they are now
    /// written down.
    pub fn served(&self) {
        let _ = self.0.orders.send(Order::Served);
    }

    /// Gives volumes of [`crate::Process::volumes`] new contents, as soon as there is somebody to take them. The process sees them
    /// some time later.
    pub fn update(&self, volumes: Vec<Contents>) {
        let _ = self.0.orders.send(Order::Update(volumes));
    }

    /// What it was restored from.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.0.snapshot.as_ref()
    }

    /// Waits until the instance has ended, by whatever cause, and everything it owned is gone.
    pub async fn stopped(&self) {
        self.0.released.cancelled().await;
    }

    /// How long each part of the start took, as far as it has come.
    pub fn phases(&self) -> Vec<Phase> {
        self.0.phases()
    }

    /// The function's log, for [`crate::logs::follow`].
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// How the function's process ended, once it has, also when it was told to; `None` if the guest did not live to say so.
    pub fn exit(&self) -> Option<Exit> {
        self.0.exit.get().copied()
    }

    /// The hypervisor's process, once there is one.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid.get().copied()
    }
}
