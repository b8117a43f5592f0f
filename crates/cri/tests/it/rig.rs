//! The endpoint with everything round it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cri::{Config, Server};
use image::Store;
use sandbox::{Accel, Sandbox};
use sys::netns::NetNs;
use tempfile::TempDir;
use testkit::guest::Guest;
use testkit::hypervisor::FakeHypervisor;
use tonic::Status;

use crate::client::Client;
use crate::containerd::{BUSYBOX, Containerd};
use crate::runtime_v1 as cri_v1;

/// Far more than anything here takes; a test that waits for this has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) client: Client,
    server: Option<Server>,
    hypervisor: FakeHypervisor,
    node_id: String,
    pub(crate) containerd: Containerd,
    folder: TempDir,
}

impl Rig {
    /// An endpoint whose guests follow `script`.
    pub(crate) async fn new<F>(script: impl Fn(Guest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let containerd = Containerd::start().await;
        let folder = tempfile::tempdir().unwrap();
        let hypervisor = FakeHypervisor::new(script);
        let node_id = format!("cri-{}-{number}", std::process::id());
        let server = start(&folder, &containerd, &hypervisor, &node_id).await;
        let client = Client::connect(&socket(&folder)).await;
        Self {
            client,
            server: Some(server),
            hypervisor,
            node_id,
            containerd,
            folder,
        }
    }

    /// The endpoint ends, and another takes its place.
    pub(crate) async fn restart(&mut self) {
        self.end().await;
        self.begin().await;
    }

    pub(crate) async fn end(&mut self) {
        let server = self.server.take().unwrap();
        server.shutdown(Duration::ZERO).await;
    }

    pub(crate) async fn begin(&mut self) {
        let started = start(
            &self.folder,
            &self.containerd,
            &self.hypervisor,
            &self.node_id,
        );
        self.server = Some(started.await);
        self.client = Client::connect(&socket(&self.folder)).await;
    }

    /// A client of the original's services.
    pub(crate) async fn orchestrator(&self) -> Client {
        let address = self.server.as_ref().unwrap().orchestrator()[0];
        Client::over(tokio::net::TcpStream::connect(address).await.unwrap()).await
    }

    /// What an endpoint has saved.
    pub(crate) fn snapshots(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.path().join("snapshots")).unwrap();
        let folders = entries.filter(|it| it.as_ref().unwrap().file_type().unwrap().is_dir());
        folders.count()
    }

    /// Where pods have their logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// A pod for this handler.
    pub(crate) async fn pod(&self, name: &str, handler: &str) -> String {
        self.try_pod(name, handler).await.unwrap()
    }

    pub(crate) async fn try_pod(&self, name: &str, handler: &str) -> Result<String, Status> {
        let request = cri_v1::RunPodSandboxRequest {
            config: Some(self.pod_config(name)),
            runtime_handler: handler.into(),
        };
        let made: cri_v1::RunPodSandboxResponse =
            self.client.call("RunPodSandbox", request).await?;
        Ok(made.pod_sandbox_id)
    }

    fn pod_config(&self, name: &str) -> cri_v1::PodSandboxConfig {
        cri_v1::PodSandboxConfig {
            metadata: Some(cri_v1::PodSandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "default".into(),
                attempt: 0,
            }),
            hostname: name.into(),
            log_directory: self.logs().join(name).to_string_lossy().into_owned(),
            linux: Some(cri_v1::LinuxPodSandboxConfig::default()),
            ..Default::default()
        }
    }

    /// A container of the busybox image.
    pub(crate) async fn create(
        &self,
        pod: &str,
        name: &str,
        change: impl FnOnce(&mut cri_v1::ContainerConfig),
    ) -> Result<String, Status> {
        let mut config = cri_v1::ContainerConfig {
            metadata: Some(cri_v1::ContainerMetadata {
                name: name.into(),
                attempt: 0,
            }),
            image: Some(cri_v1::ImageSpec {
                image: BUSYBOX.into(),
                ..Default::default()
            }),
            log_path: format!("{name}.log"),
            linux: Some(cri_v1::LinuxContainerConfig::default()),
            ..Default::default()
        };
        change(&mut config);
        let request = cri_v1::CreateContainerRequest {
            pod_sandbox_id: pod.into(),
            config: Some(config),
            sandbox_config: Some(self.pod_config(pod)),
        };
        let made: cri_v1::CreateContainerResponse =
            self.client.call("CreateContainer", request).await?;
        Ok(made.container_id)
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), Status> {
        let request = cri_v1::StartContainerRequest {
            container_id: id.into(),
        };
        self.empty("StartContainer", request).await
    }

    pub(crate) async fn stop(&self, id: &str, seconds: i64) -> Result<(), Status> {
        let request = cri_v1::StopContainerRequest {
            container_id: id.into(),
            timeout: seconds,
        };
        self.empty("StopContainer", request).await
    }

    pub(crate) async fn remove(&self, id: &str) -> Result<(), Status> {
        let request = cri_v1::RemoveContainerRequest {
            container_id: id.into(),
        };
        self.empty("RemoveContainer", request).await
    }

    pub(crate) async fn remove_pod(&self, id: &str) -> Result<(), Status> {
        let request = cri_v1::StopPodSandboxRequest {
            pod_sandbox_id: id.into(),
        };
        self.empty("StopPodSandbox", request.clone()).await?;
        self.empty("RemovePodSandbox", request).await
    }

    /// A call whose answer is empty.
    pub(crate) async fn empty(
        &self,
        method: &str,
        request: impl prost::Message + 'static,
    ) -> Result<(), Status> {
        let answer: cri_v1::VersionResponse = self.client.call(method, request).await?;
        assert_eq!(answer, cri_v1::VersionResponse::default());
        Ok(())
    }

    /// The network of a pod, as containerd has made it.
    pub(crate) async fn network(&self, pod: &str) -> NetNs {
        let request = cri_v1::PodSandboxStatusRequest {
            pod_sandbox_id: pod.into(),
            verbose: true,
        };
        let client = Client::connect(&self.containerd.socket()).await;
        let status: cri_v1::PodSandboxStatusResponse =
            client.call("PodSandboxStatus", request).await.unwrap();
        let info: serde_json::Value = serde_json::from_str(&status.info["info"]).unwrap();
        let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array();
        let network = namespaces
            .unwrap()
            .iter()
            .find(|it| it["type"] == "network");
        let path = network.unwrap()["path"].as_str().unwrap();
        NetNs::open(path.as_ref()).unwrap()
    }

    /// Waits until a container has ended.
    pub(crate) async fn ended(&self, id: &str) -> cri_v1::ContainerStatus {
        let exited = i32::from(cri_v1::ContainerState::ContainerExited);
        let poll = async {
            loop {
                let status = self.client.container_status(id).await.unwrap();
                if status.state == exited {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, poll).await.expect("it goes on")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for path in NetNs::list(&format!("vhive-{}-", self.node_id)).unwrap_or_default() {
            let _ = NetNs::delete(&path);
        }
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("cri.sock")
}

async fn start(
    folder: &TempDir,
    containerd: &Containerd,
    hypervisor: &FakeHypervisor,
    node_id: &str,
) -> Server {
    let path = folder.path();
    let config = sandbox::Config {
        run_dir: path.join("run"),
        node_id: node_id.to_owned(),
        net_pool_size: 0,
        spare_hypervisors: 0,
        snapshot_space: 1 << 30,
        snapshot_dir: path.join("snapshots"),
        accel: Accel::Tcg,
        log_max_bytes: 1 << 20,
        boot_deadline: LONG,
        hypervisor_users: None,
    };
    let machines: Arc<dyn vmm::Hypervisor> = Arc::new(hypervisor.clone());
    // A program that another test is about to start has all descriptors of this process until it runs, and so perhaps a lock.
    let sandbox = loop {
        match Sandbox::open(config.clone(), machines.clone(), hypervisor.kernel()).await {
            Err(sandbox::Error::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap().0,
        }
    };
    loop {
        let config = Config {
            socket: socket(folder),
            containerd: containerd.socket(),
            state_dir: path.join("state"),
            images: Store::open(&path.join("images")).unwrap(),
            sandbox: sandbox.clone(),
            handlers: vec!["vhive".into(), "vhive-qemu".into()],
            memory: Some(sandbox::Memory::File),
            orchestrator: Some(0),
        };
        match Server::start(config).await {
            Err(cri::Error::State(cri::StateError::InUse { .. })) => {
                tokio::task::yield_now().await;
            }
            started => return started.unwrap(),
        }
    }
}
