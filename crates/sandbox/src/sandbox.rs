//! The manager: it opens the run directory, starts instances and knows which there are.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, warn};
use vmm::Hypervisor;
use vmm::kernel::Kernel;

use crate::blocking;
use crate::config::{Config, Spec};
use crate::exec::Door;
use crate::instance::{Environment, Handle, Shared, Task, usable};
use crate::logs::Log;
use crate::network::Pool as Networks;
use crate::recovery::{self, Recovered};
use crate::snapshots::{self, Snapshot, Snapshots};
use crate::spares::Spares;
use crate::state::{Failure, Reason, State};
use crate::turns::Turns;

/// A sandbox could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run directory cannot be made or read.
    #[error("cannot {step} the run directory {}", path.display())]
    RunDirectory {
        /// What was being done.
        step: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process uses the run directory.
    #[error(
        "the run directory {} is in use by another process; stop that one, or choose another data directory",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The node id does not fit into the name of a namespace.
    #[error("{node_id:?} is no node id: it takes 1 to 32 letters, digits and dashes")]
    NodeId {
        /// The id.
        node_id: String,
    },
    /// What a predecessor left cannot be found.
    #[error("cannot list the network namespaces that a predecessor may have left")]
    Namespaces(#[source] sys::netns::Error),
    /// The snapshots cannot be found.
    #[error("the snapshots cannot be used")]
    Snapshots(#[from] snapshots::Error),
}

/// The instances of one node. Cloning shares them.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    environment: Arc<Environment>,
    instances: Mutex<Instances>,
    tasks: TaskTracker,
    /// Held for as long as this process uses the run directory.
    _lock: File,
}

#[derive(Default)]
struct Instances {
    running: HashMap<String, Handle>,
    closed: bool,
}

impl Sandbox {
    /// Opens the run directory, takes down whatever a predecessor that died left of its instances, and begins to
    /// fill the pool of networks. Must be called in a tokio runtime.
    pub async fn open(
        config: Config,
        hypervisor: Arc<dyn Hypervisor>,
        kernel: Kernel,
    ) -> Result<(Self, Recovered), Error> {
        let id = &config.node_id;
        if !(1..=32).contains(&id.len())
            || !id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Error::NodeId {
                node_id: id.clone(),
            });
        }
        let (config, lock, recovered, snapshots) = blocking(move || {
            let lock = lock(&config.run_dir)?;
            let recovered = recovery::sweep(&config.run_dir, &config.node_id)?;
            let snapshots = Snapshots::open(&config.snapshot_dir, config.snapshot_space)?;
            Ok::<_, Error>((config, lock, recovered, snapshots))
        })
        .await?;
        let networks = Networks::new(&config.node_id, config.net_pool_size);
        let turns = Turns::new();
        let spares = Spares::new(
            config.clone(),
            hypervisor.clone(),
            networks.clone(),
            turns.clone(),
        );
        let sandbox = Self(Arc::new(Inner {
            environment: Arc::new(Environment {
                config,
                hypervisor,
                kernel,
                networks,
                spares,
                turns,
                snapshots,
            }),
            instances: Mutex::default(),
            tasks: TaskTracker::new(),
            _lock: lock,
        }));
        Ok((sandbox, recovered))
    }

    /// Waits until the pools of networks and of spare hypervisors are full.
    pub async fn warm(&self) {
        self.0.environment.networks.filled().await;
        self.0.environment.spares.filled().await;
    }

    /// The snapshots that instances are restored from.
    pub fn snapshots(&self) -> &Snapshots {
        &self.0.environment.snapshots
    }

    /// The snapshot that an instance of `spec` would be restored from. One that no longer fits is removed, in the background, and
    /// so makes room for another. If there is one, hypervisors that wait for it are made ready.
    pub fn snapshot_of(&self, spec: &Spec) -> Option<Arc<Snapshot>> {
        let environment = &self.0.environment;
        let found = environment.snapshots.find(&spec.snapshot.as_ref()?.key)?;
        let manifest = found.manifest();
        if let Some(misfit) = manifest.origin.misfit(&environment.origin(spec)) {
            warn!(snapshot = manifest.id, reason = %misfit, "a snapshot does not fit, and is removed");
            environment.snapshots.discard(&manifest.id);
            return None;
        }
        environment.spares.expect(spec.shape());
        Some(found)
    }

    /// Starts an instance and returns at once. What goes wrong is the handle's state: an instance that cannot be
    /// accepted has failed with [`Reason::Refused`] from the beginning.
    pub fn start(&self, spec: Spec) -> Handle {
        let (orders, ordered) = mpsc::unbounded_channel();
        let snapshot = self.snapshot_of(&spec);
        let (log, progress) = Log::being_written(spec.log.clone());
        let shared = Arc::new(Shared {
            id: spec.id.clone(),
            port: spec.port,
            log,
            state: watch::Sender::new(State::Pending),
            orders,
            namespace: Mutex::default(),
            phases: Mutex::default(),
            pid: OnceLock::new(),
            door: Door::default(),
            exit: OnceLock::new(),
            snapshot: snapshot.clone(),
            well: AtomicBool::new(true),
            killed: AtomicBool::new(false),
            released: CancellationToken::new(),
        });
        let handle = Handle(shared.clone());
        if let Err(refusal) = self.admit(&spec.id, &handle) {
            shared.set_state(State::Failed(Failure {
                reason: Reason::Refused,
                message: refusal,
                exit_code: None,
            }));
            shared.released.cancel();
            return handle;
        }

        let span = tracing::info_span!("instance", id = spec.id);
        let end = End {
            inner: self.0.clone(),
            shared: shared.clone(),
        };
        let environment = self.0.environment.clone();
        let task = Task::new(environment, shared, spec, ordered, progress, snapshot);
        self.0.tasks.spawn(
            async move {
                let _end = end;
                task.run().await;
            }
            .instrument(span),
        );
        handle
    }

    /// The instances that have not ended, in no order.
    pub fn instances(&self) -> Vec<Handle> {
        self.0.instances().running.values().cloned().collect()
    }

    /// Stops every instance, with this grace for their functions, and removes the spare networks. Returns when nothing
    /// is left. No instance can be started any more.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.instances().closed = true;
        for instance in self.instances() {
            instance.stop(grace);
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.environment.spares.close().await;
        self.0.environment.networks.close().await;
    }

    /// Enters the instance among those that run, or says why not.
    fn admit(&self, id: &str, handle: &Handle) -> Result<(), String> {
        if !usable(id) {
            return Err(format!(
                "{id:?} cannot name an instance: it takes letters, digits, dots, dashes and underscores"
            ));
        }
        let mut instances = self.0.instances();
        if instances.closed {
            return Err("the sandbox is shutting down".into());
        }
        if instances.running.contains_key(id) {
            return Err(format!("an instance {id:?} is running already"));
        }
        instances.running.insert(id.to_owned(), handle.clone());
        Ok(())
    }
}

impl Inner {
    fn instances(&self) -> MutexGuard<'_, Instances> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of an instance's task, also when it panics or the runtime goes away.
struct End {
    inner: Arc<Inner>,
    shared: Arc<Shared>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.set_namespace(None);
        let unfinished = !self.shared.state.borrow().is_terminal();
        if unfinished {
            self.shared.set_state(State::Failed(Failure {
                reason: Reason::HypervisorDied,
                message: "the task that owned the instance was ended".into(),
                exit_code: None,
            }));
        }
        self.inner.instances().running.remove(&self.shared.id);
        self.shared.released.cancel();
    }
}

/// Makes the run directory if need be, and keeps other processes out of it.
fn lock(path: &std::path::Path) -> Result<File, Error> {
    let failed = |step| {
        move |source| Error::RunDirectory {
            step,
            path: path.to_owned(),
            source,
        }
    };
    fs::create_dir_all(path).map_err(failed("make"))?;
    // Sockets in it are open to every user, since hypervisors run as many: nobody else may get to them.
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed("close"))?;
    let lock = File::create(path.join(recovery::LOCK)).map_err(failed("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
    }
}
