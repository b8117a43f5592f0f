//! A containerd of a test's own: its socket, folders and network are below a temporary folder, and what it started is taken down with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use image::{BuildSpec, Source, Store};
use tempfile::TempDir;

use crate::client::Client;
use crate::runtime_v1 as cri;

/// The image of the sandbox's own container, and of others: a busybox that sleeps.
pub(crate) const BUSYBOX: &str = "test.local/busybox:1";
/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Containerd {
    folder: TempDir,
    process: Option<Child>,
}

impl Containerd {
    /// Starts it, with [`BUSYBOX`] among its images.
    pub(crate) async fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("cni")).unwrap();
        // Of each process, and of each test in it: the addresses are the machine's.
        let second = (std::process::id() % 100) as u8 + 128;
        let third = NEXT.fetch_add(1, Ordering::Relaxed);
        fs::write(
            path.join("cni/10-test.conflist"),
            format!(
                r#"{{"cniVersion": "0.4.0", "name": "vhive-test-{second}-{third}", "plugins": [{{"type": "ptp", "ipam": {{
                    "type": "host-local", "ranges": [[{{"subnet": "10.{second}.{third}.0/24"}}]], "dataDir": "{0}/ipam"}}}}]}}"#,
                path.display()
            ),
        )
        .unwrap();
        fs::write(
            path.join("config.toml"),
            format!(
                r#"
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.internal.v1.restart"]
[grpc]
  address = "{0}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{BUSYBOX}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{0}/cni"
"#,
                path.display()
            ),
        )
        .unwrap();
        let mut containerd = Self {
            folder,
            process: None,
        };
        containerd.run().await;
        let archive = containerd.build();
        containerd.import(&archive, BUSYBOX).await;
        containerd
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join("containerd.sock")
    }

    /// Ends it with a signal it cannot catch, and starts it again. What it had started goes on meanwhile.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.run().await;
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    async fn run(&mut self) {
        let log = fs::File::create(self.folder().join("log")).unwrap();
        let process = Command::new("containerd")
            .arg("--config")
            .arg(self.folder().join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("there is no containerd: apt-get install containerd runc containernetworking-plugins");
        self.process = Some(process);
        let begun = Instant::now();
        // It says when it listens to systemd alone.
        while tokio::net::UnixStream::connect(self.socket())
            .await
            .is_err()
        {
            assert!(begun.elapsed() < LONG, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let request = || cri::StatusRequest::default();
        // Its network comes a moment after its socket.
        loop {
            let client = Client::connect(&self.socket()).await;
            let status = client.call::<_, cri::StatusResponse>("Status", request());
            let conditions = status.await.ok().and_then(|it| it.status);
            if conditions.is_some_and(|it| it.conditions.iter().all(|it| it.status)) {
                return;
            }
            assert!(begun.elapsed() < LONG, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    fn build(&self) -> PathBuf {
        let store = Store::open(&self.folder().join("images")).unwrap();
        let name = BUSYBOX.parse().unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.exists())
            .expect("there is no busybox: apt-get install busybox-static");
        let spec = BuildSpec {
            name,
            source: Source::Binary(busybox),
            entrypoint: vec!["/busybox".into()],
            cmd: vec!["sleep".into(), "1000000".into()],
            env: vec![("FROM_IMAGE".into(), "yes".into())],
            workdir: String::new(),
            user: String::new(),
            ports: Vec::new(),
            labels: std::collections::BTreeMap::new(),
        };
        let image = store.build(spec).unwrap();
        let archive = self.folder().join("busybox.tar");
        store.export(&image.reference, &archive).unwrap();
        archive
    }

    async fn import(&self, archive: &Path, name: &str) {
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(archive)
            .output()
            .expect("ctr is part of containerd");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // It hears of its own images by an event.
        let client = Client::connect(&self.socket()).await;
        let begun = Instant::now();
        loop {
            let request = cri::ImageStatusRequest {
                image: Some(cri::ImageSpec {
                    image: name.into(),
                    ..Default::default()
                }),
                verbose: false,
            };
            let status: cri::ImageStatusResponse = client
                .call_at("/runtime.v1.ImageService/ImageStatus", request)
                .await
                .unwrap();
            if status.image.is_some() {
                return;
            }
            assert!(begun.elapsed() < LONG, "the image never came");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Takes down all pods, and with them processes and networks.
    async fn clean(socket: PathBuf) {
        let client = Client::connect(&socket).await;
        let request = cri::ListPodSandboxRequest::default();
        let pods: cri::ListPodSandboxResponse =
            client.call("ListPodSandbox", request).await.unwrap();
        for pod in pods.items {
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let request = cri::StopPodSandboxRequest {
                    pod_sandbox_id: pod.id.clone(),
                };
                // Both have the id in the same place, and an empty answer.
                let done: Result<cri::CreateContainerResponse, _> =
                    client.call(method, request).await;
                if let Err(status) = done {
                    eprintln!("{method} {}: {status}", pod.id);
                }
            }
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.process.is_some() {
            let socket = self.socket();
            // Not in the runtime that is being dropped with us.
            let cleaned = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.expect("a runtime").block_on(async {
                    let _ = tokio::time::timeout(LONG, Self::clean(socket)).await;
                });
            });
            let _ = cleaned.join();
        }
        self.kill();
        if std::thread::panicking() {
            eprintln!("containerd said:\n{}", self.log());
        }
    }
}
