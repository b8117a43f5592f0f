//! A containerd with an image, ready for pods, which it takes down with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::{BuildSpec, Source, Store};

use crate::client::Client;
use crate::runtime_v1 as cri;

/// The image of the sandbox's own container, and of others: a busybox that sleeps.
pub(crate) const BUSYBOX: &str = "test.local/busybox:1";
/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// Between two looks at what is told by nothing.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Containerd(testkit::containerd::Containerd);

impl Containerd {
    /// Starts it, with [`BUSYBOX`] among its images.
    pub(crate) async fn start() -> Self {
        let started = testkit::containerd::Containerd::start(BUSYBOX);
        let containerd = Self(started.unwrap());
        containerd.ready().await;
        let archive = containerd.build();
        containerd.0.import(&archive).unwrap();
        containerd.has_image().await;
        containerd
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.socket()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts it again.
    pub(crate) async fn restart(&mut self) {
        self.0.kill();
        self.0.run().unwrap();
        self.ready().await;
    }

    /// Its network comes a moment after its socket.
    async fn ready(&self) {
        let begun = Instant::now();
        loop {
            let client = Client::connect(&self.socket()).await;
            let request = cri::StatusRequest::default();
            let status = client.call::<_, cri::StatusResponse>("Status", request);
            let conditions = status.await.ok().and_then(|it| it.status);
            if conditions.is_some_and(|it| it.conditions.iter().all(|it| it.status)) {
                return;
            }
            assert!(begun.elapsed() < LONG, "{}", self.0.log());
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn build(&self) -> PathBuf {
        let folder = self.0.folder();
        let store = Store::open(&folder.join("images")).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists())
            .expect("there is no busybox: apt-get install busybox-static");
        let spec = BuildSpec {
            name: BUSYBOX.parse().unwrap(),
            source: Source::Binary(busybox.to_owned()),
            entrypoint: vec!["/busybox".into()],
            cmd: vec!["sleep".into(), "1000000".into()],
            env: Vec::new(),
            workdir: String::new(),
            user: String::new(),
            ports: Vec::new(),
            labels: std::collections::BTreeMap::new(),
        };
        let image = store.build(spec).unwrap();
        let archive = folder.join("busybox.tar");
        store.export(&image.reference, &archive).unwrap();
        archive
    }

    /// It hears of images that were imported by an event.
    async fn has_image(&self) {
        let client = Client::connect(&self.socket()).await;
        let begun = Instant::now();
        loop {
            let request = cri::ImageStatusRequest {
                image: Some(cri::ImageSpec {
                    image: BUSYBOX.into(),
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
            tokio::time::sleep(PAUSE).await;
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
                // Both have the id in the same place, and an empty answer.
                let request = cri::StopPodSandboxRequest {
                    pod_sandbox_id: pod.id.clone(),
                };
                let done: Result<cri::VersionResponse, _> = client.call(method, request).await;
                if let Err(status) = done {
                    eprintln!("{method} {}: {status}", pod.id);
                }
            }
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.0.is_killed() {
            return;
        }
        let socket = self.socket();
        // Not in the runtime that is being dropped with us.
        let cleaned = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let clean = async {
                let _ = tokio::time::timeout(LONG, Self::clean(socket)).await;
            };
            runtime.expect("a runtime").block_on(clean);
        });
        let _ = cleaned.join();
    }
}
