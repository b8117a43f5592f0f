//! A node of a test's own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use image::{BuildSpec, Source, Store};
use node::{Config, Https, Memory, Node, Retention, SnapshotConfig};
use sys::netns::NetNs;
use tempfile::TempDir;
use vmm::Accel;

use crate::client::{Answer, Api, call};
use crate::function::{Functions, Habits, hypervisor};

/// Far more than anything here takes; a test that waits for this has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The image that tests run.
pub(crate) const IMAGE: &str = "dev.local/hello:latest";

pub(crate) struct Rig {
    pub(crate) api: Api,
    pub(crate) habits: Habits,
    pub(crate) functions: Functions,
    ingress: SocketAddr,
    node: Option<Node>,
    remains: Remains,
}

/// What is left of a node that has ended. Takes its namespaces with it, also when the test fails.
pub(crate) struct Remains {
    folder: TempDir,
}

impl Rig {
    /// A node that has [`IMAGE`], whose program is `/first`.
    pub(crate) async fn new() -> Self {
        let remains = Remains {
            folder: tempfile::tempdir().unwrap(),
        };
        remains.build("/first");
        Self::on(remains).await
    }

    /// The same, which saves a revision after so many answers.
    pub(crate) async fn saving_after(answers: u64) -> Self {
        let remains = Remains {
            folder: tempfile::tempdir().unwrap(),
        };
        remains.build("/first");
        Self::with(remains, answers, Retention::default()).await
    }

    /// The same, which keeps no revision that gets no traffic.
    pub(crate) async fn keeping_none() -> Self {
        let remains = Remains {
            folder: tempfile::tempdir().unwrap(),
        };
        remains.build("/first");
        let none = Retention {
            since_create: None,
            since_last_active: None,
            min: 0,
            max: Some(0),
        };
        Self::with(remains, u64::MAX, none).await
    }

    /// A node that carries on after another.
    pub(crate) async fn on(remains: Remains) -> Self {
        // None is taken by itself, but those that are there are used.
        Self::with(remains, u64::MAX, Retention::default()).await
    }

    pub(crate) async fn with(remains: Remains, snapshot_after: u64, retention: Retention) -> Self {
        let habits = Habits::default();
        let (fake, functions) = hypervisor(habits.clone());
        let node = Node::start(Config {
            data_dir: remains.data_dir().to_owned(),
            api: ([127, 0, 0, 1], 0).into(),
            ingress: ([127, 0, 0, 1], 0).into(),
            https: Some(Https {
                address: ([127, 0, 0, 1], 0).into(),
                certificate: None,
            }),
            domain: "test".to_owned(),
            net_pool_size: 0,
            kernel: fake.kernel(),
            hypervisor: Arc::new(fake),
            hypervisor_version: "fake".to_owned(),
            accel: Accel::Tcg,
            // The program that passes for QEMU may be where only root gets to.
            hypervisor_users: None,
            snapshots: SnapshotConfig {
                after: snapshot_after,
                memory: Memory::Auto,
                space: 1 << 30,
                spare_hypervisors: 0,
            },
            retention,
        })
        .await
        .expect("a node, which needs root");
        Self {
            api: Api::new(node.api_url(), remains.data_dir()),
            habits,
            functions,
            ingress: node.ingress(),
            node: Some(node),
            remains,
        }
    }

    /// Creates a service and waits until its first instance has made it ready.
    pub(crate) async fn deploy(&self, name: &str) {
        self.api.create(name, IMAGE, &serde_json::json!({})).await;
        self.api.ready(name).await;
    }

    pub(crate) async fn call(&self, service: &str) -> Answer {
        call(self.ingress, service).await
    }

    /// A call that goes on beside the test.
    pub(crate) fn begin_call(&self, service: &'static str) -> tokio::task::JoinHandle<Answer> {
        tokio::spawn(call(self.ingress, service))
    }

    /// Where the ingress listens for TLS.
    pub(crate) fn https(&self) -> SocketAddr {
        self.node.as_ref().and_then(Node::https).unwrap()
    }

    pub(crate) fn ingress(&self) -> SocketAddr {
        self.ingress
    }

    pub(crate) fn remains(&self) -> &Remains {
        &self.remains
    }

    pub(crate) async fn shut_down(mut self) -> Remains {
        if let Some(node) = self.node.take() {
            node.shutdown(LONG).await;
        }
        self.remains
    }
}

impl Remains {
    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn images(&self) -> Store {
        Store::open(&self.data_dir().join("images")).unwrap()
    }

    /// Gives [`IMAGE`]'s name to an image with this program.
    pub(crate) fn build(&self, program: &str) {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), program).unwrap();
        let spec = BuildSpec {
            name: IMAGE.parse().unwrap(),
            source: Source::Folder(root.path().to_owned()),
            entrypoint: vec![program.to_owned()],
            cmd: Vec::new(),
            env: Vec::new(),
            workdir: String::new(),
            user: String::new(),
            ports: Vec::new(),
            labels: std::collections::BTreeMap::new(),
        };
        self.images().build(spec).unwrap();
    }

    /// The names in a folder of the data directory.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.data_dir().join(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The network namespaces of this node.
    pub(crate) fn namespaces(&self) -> Vec<PathBuf> {
        let id = sandbox::Config::node_id_for(&self.data_dir().join("run"));
        NetNs::list(&format!("vhive-{id}-")).unwrap()
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        for path in self.namespaces() {
            let _ = NetNs::delete(&path);
        }
    }
}
