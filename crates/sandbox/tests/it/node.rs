//! A sandbox of a test's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandbox::snapshots::Snapshot;
use sandbox::{
    Accel, Config, Failure, Handle, Memory, Probe, Process, Reason, Sandbox, SaveError,
    SnapshotUse, Spec, State,
};
use sys::netns::NetNs;
use tempfile::TempDir;
use testkit::guest::Guest;
use testkit::hypervisor::FakeHypervisor;
use tokio::time::timeout;

/// Far more than anything here takes; a test that waits for this has failed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A node that takes its namespaces with it, also when the test fails.
pub(crate) struct Node {
    pub(crate) sandbox: Sandbox,
    pub(crate) config: Config,
    root: PathBuf,
    logs: TempDir,
    folder: Arc<TempDir>,
}

impl Node {
    /// A node whose guests follow `script`.
    pub(crate) async fn new<F>(script: impl Fn(Guest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self::with(FakeHypervisor::new(script), |_| {}).await
    }

    pub(crate) async fn with(hypervisor: FakeHypervisor, change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut config = config(folder.path());
        change(&mut config);
        Self::on(folder, hypervisor, config).await
    }

    /// A node that finds the snapshots of this one, which ends.
    pub(crate) async fn succeeded_by(
        self,
        hypervisor: FakeHypervisor,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        self.sandbox.shutdown(Duration::ZERO).await;
        let (folder, mut config) = (self.folder.clone(), self.config.clone());
        drop(self);
        change(&mut config);
        Self::on(folder, hypervisor, config).await
    }

    async fn on(folder: Arc<TempDir>, hypervisor: FakeHypervisor, config: Config) -> Self {
        let (kernel, root) = (hypervisor.kernel(), hypervisor.root());
        let hypervisor = Arc::new(hypervisor);
        // A program that another test is about to start has all descriptors of this process until it runs, and so perhaps the lock of
        // the node before.
        let sandbox = loop {
            match Sandbox::open(config.clone(), hypervisor.clone(), kernel.clone()).await {
                Err(sandbox::Error::InUse { .. }) => tokio::task::yield_now().await,
                opened => break opened.unwrap().0,
            }
        };
        Self {
            sandbox,
            config,
            root,
            logs: tempfile::tempdir().unwrap(),
            folder,
        }
    }

    /// Starts an instance that counts as ready when its guest listens on 8080.
    pub(crate) fn start(&self, id: &str) -> Handle {
        self.sandbox.start(self.spec(id))
    }

    pub(crate) fn spec(&self, id: &str) -> Spec {
        spec(id, &self.root, self.logs.path())
    }

    /// Starts an instance that can be saved, and is restored if there is a snapshot.
    pub(crate) fn start_saveable(&self, id: &str) -> Handle {
        self.sandbox.start(Spec {
            snapshot: Some(saved_as("key", Memory::File)),
            ..self.spec(id)
        })
    }

    /// Saves an instance and stops it.
    pub(crate) async fn take_snapshot(&self) -> Arc<Snapshot> {
        let instance = self.start_saveable("to-be-saved");
        ready(&instance).await;
        let saved = save(&instance).await;
        let state = instance.state();
        assert_eq!(state, State::Ready, "{saved:?}");
        let snapshot = saved.unwrap();
        instance.stop(Duration::ZERO);
        stopped(&instance).await;
        snapshot
    }

    /// The names in the folder of snapshots.
    pub(crate) fn snapshot_files(&self) -> Vec<String> {
        names(&self.config.snapshot_dir)
    }

    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.config.run_dir.join(id)
    }

    /// The names of this node's namespaces.
    pub(crate) fn namespaces(&self) -> Vec<PathBuf> {
        NetNs::list(&format!("vhive-{}-", self.config.node_id)).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for path in self.namespaces() {
            let _ = NetNs::delete(&path);
        }
    }
}

/// A set-up in `folder`, with a node id of its own and no pool.
pub(crate) fn config(folder: &Path) -> Config {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Config {
        run_dir: folder.join("run"),
        node_id: format!("test-{}-{number}", std::process::id()),
        net_pool_size: 0,
        spare_hypervisors: 0,
        snapshot_space: 1 << 30,
        snapshot_dir: folder.join("snapshots"),
        accel: Accel::Tcg,
        log_max_bytes: 1 << 20,
        boot_deadline: LONG,
        hypervisor_users: None,
    }
}

/// An instance that is ready when its guest listens on 8080.
pub(crate) fn spec(id: &str, root: &Path, logs: &Path) -> Spec {
    Spec {
        id: id.into(),
        root: root.to_owned(),
        log: logs.join(format!("{id}.log")),
        process: Process {
            argv: vec!["/app/server".into()],
            env: vec![("PORT".into(), "8080".into())],
            ..Process::default()
        },
        vcpus: 1,
        memory_mib: 128,
        port: 8080,
        probe: Probe::Tcp { port: 8080 },
        checks: sandbox::Checks::default(),
        ready_deadline: LONG,
        snapshot: None,
    }
}

/// The names in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn saved_as(key: &str, memory: Memory) -> SnapshotUse {
    SnapshotUse {
        key: key.to_owned(),
        memory,
    }
}

/// Waits until an instance is saved, or is not.
pub(crate) async fn save(instance: &Handle) -> Result<Arc<Snapshot>, SaveError> {
    timeout(LONG, instance.save()).await.expect("no answer")
}

/// Waits until the start is decided, one way or the other.
pub(crate) async fn settled(instance: &Handle) -> State {
    timeout(LONG, instance.settled())
        .await
        .expect("the start was never decided")
}

/// Waits until the instance is ready, and fails if it never will be.
pub(crate) async fn ready(instance: &Handle) {
    assert_eq!(settled(instance).await, State::Ready);
}

/// Waits until the instance has ended and is gone.
pub(crate) async fn stopped(instance: &Handle) -> State {
    timeout(LONG, instance.stopped())
        .await
        .expect("the instance never ended");
    instance.state()
}

/// Waits until the instance has failed and is gone, and returns why.
pub(crate) async fn failure(instance: &Handle) -> Failure {
    match stopped(instance).await {
        State::Failed(failure) => failure,
        other => panic!("the instance should have failed, but is {other:?}"),
    }
}

/// Asserts why an instance failed, and what its message says.
#[track_caller]
pub(crate) fn assert_failure(failure: &Failure, reason: Reason, says: &[&str]) {
    assert_eq!(failure.reason, reason, "{}", failure.message);
    for part in says {
        assert!(
            failure.message.contains(part),
            "{part:?} is not in: {}",
            failure.message
        );
    }
}
