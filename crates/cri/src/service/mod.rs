//! The calls that concern microVMs: ours, containerd's, or both put together.

mod life;
mod lists;
mod pods;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use prost::Message;
use sandbox::{Memory, Sandbox};
use tokio::sync::broadcast;
use tonic::{Request, Status};

use crate::container::Container;
use crate::grpc::{self, Body};
use crate::images::Images;
use crate::machine;
use crate::method::Method;
use crate::proto::runtime_v1 as cri;
use crate::registry::Registry;
use crate::seed::Addresses;
use crate::state::{self, State};
use crate::upstream::Upstream;
use crate::{Cri, stats, wire};
use cri::ContainerState;

/// Events that a reader may be behind.
const EVENTS: usize = 1024;
/// An empty message, encoded.
const EMPTY: Bytes = Bytes::new();

/// All that the calls share.
pub(crate) struct Inner {
    pub(crate) images: Images,
    pub(crate) upstream: Upstream,
    pub(crate) registry: Registry,
    pub(crate) state: State,
    pub(crate) sandbox: Sandbox,
    handlers: Vec<String>,
    pub(crate) memory: Option<Memory>,
    pub(crate) addresses: Addresses,
    events: broadcast::Sender<Bytes>,
    /// The tasks that wait for the end of a machine.
    machines: tokio_util::task::TaskTracker,
}

impl Inner {
    pub(crate) fn new(
        images: Images,
        upstream: Upstream,
        registry: Registry,
        state: State,
        sandbox: Sandbox,
        handlers: Vec<String>,
        memory: Option<Memory>,
    ) -> Self {
        Self {
            images,
            upstream,
            registry,
            state,
            sandbox,
            handlers,
            memory,
            addresses: Addresses::default(),
            events: broadcast::Sender::new(EVENTS),
            machines: tokio_util::task::TaskTracker::new(),
        }
    }

    /// Waits until the end of every machine is written down.
    pub(crate) async fn settled(&self) {
        self.machines.close();
        self.machines.wait().await;
    }
}

impl Cri {
    /// Answers one call, whatever it is.
    pub(crate) async fn answer(&self, request: http::Request<Incoming>) -> Response<Body> {
        match Method::of(request.uri().path()) {
            Some(Method::GetContainerEvents) if !self.0.registry.is_empty() => {
                grpc::streaming(request, |request| self.events(request)).await
            }
            Some(method) if self.reads(method) => {
                grpc::unary(request, |request| self.call(method, request)).await
            }
            _ => match self.0.upstream.pass(request.map(Body::new)).await {
                Ok(response) => response.map(Body::new),
                Err(error) => Status::from(error).into_http(),
            },
        }
    }

    /// Whether a call of this method may have to do with a microVM now.
    fn reads(&self, method: Method) -> bool {
        match method {
            // What stands for a guest is told by what is in it.
            Method::RunPodSandbox | Method::CreateContainer | Method::Status => true,
            _ => !self.0.registry.is_empty(),
        }
    }

    /// Answers a call in a task of its own: a client that goes away leaves nothing half done.
    async fn call(&self, method: Method, request: Request<Bytes>) -> Result<Bytes, Status> {
        let cri = self.clone();
        let done = tokio::spawn(async move { cri.dispatch(method, request).await });
        match done.await {
            Ok(answer) => answer,
            Err(error) => Err(Status::internal(format!("the call was cut off: {error}"))),
        }
    }

    async fn dispatch(&self, method: Method, request: Request<Bytes>) -> Result<Bytes, Status> {
        match method {
            Method::RunPodSandbox => self.run_pod_sandbox(request).await,
            Method::StopPodSandbox => self.stop_pod_sandbox(request).await,
            Method::RemovePodSandbox => self.remove_pod_sandbox(request).await,
            Method::PodSandboxStatus => self.pod_sandbox_status(request).await,
            Method::ListPodSandbox => self.list_pod_sandbox(request).await,
            Method::CreateContainer => self.create_container(request).await,
            Method::StartContainer => {
                let asked: cri::StartContainerRequest = read(&request)?;
                if let Some(ours) = self.0.registry.container(&asked.container_id) {
                    return self.start(&ours).await.map(|()| EMPTY);
                }
                self.guest_runs(&asked.container_id).await?;
                self.forward(method, request).await
            }
            Method::StopContainer => {
                let asked: cri::StopContainerRequest = read(&request)?;
                match self.0.registry.container(&asked.container_id) {
                    Some(ours) => {
                        let grace = u64::try_from(asked.timeout).unwrap_or(0);
                        if let Ok(machine) = running(&ours) {
                            machine.save().await;
                        }
                        self.stop(&ours, Duration::from_secs(grace)).await;
                        Ok(EMPTY)
                    }
                    None => self.forward(method, request).await,
                }
            }
            Method::RemoveContainer => {
                let asked: cri::RemoveContainerRequest = read(&request)?;
                if let Some(ours) = self.0.registry.container(&asked.container_id) {
                    return self.remove(&ours).await.map(|()| EMPTY);
                }
                self.end_guest(&asked.container_id).await;
                self.forward(method, request).await
            }
            Method::ListContainers => self.list_containers(request).await,
            Method::ContainerStatus => self.container_status(request).await,
            Method::ReopenContainerLog => {
                let asked: cri::ReopenContainerLogRequest = read(&request)?;
                match self.0.registry.container(&asked.container_id) {
                    Some(ours) => running(&ours)?.reopen_log().await.map(|()| EMPTY),
                    None => self.forward(method, request).await,
                }
            }
            Method::ContainerStats => {
                let asked: cri::ContainerStatsRequest = read(&request)?;
                match self.0.registry.container(&asked.container_id) {
                    Some(ours) => Ok(answer(&cri::ContainerStatsResponse {
                        stats: Some(stats::of(&ours)),
                    })),
                    None => self.forward(method, request).await,
                }
            }
            Method::ListContainerStats => self.list_container_stats(request).await,
            Method::Status => self.status(request).await,
            Method::ExecSync => {
                let asked: cri::ExecSyncRequest = read(&request)?;
                let Some(ours) = self.0.registry.container(&asked.container_id) else {
                    return self.forward(method, request).await;
                };
                let timeout = u64::try_from(asked.timeout).ok().filter(|it| *it != 0);
                let timeout = timeout.map(Duration::from_secs);
                Ok(answer(&running(&ours)?.exec(asked.cmd, timeout).await?))
            }
            // All of these have it in field 1.
            Method::UpdateContainerResources
            | Method::Exec
            | Method::Attach
            | Method::CheckpointContainer => {
                let id = wire::text(request.get_ref(), 1).map_err(malformed)?;
                match id.and_then(|id| self.0.registry.container(id)) {
                    Some(ours) => Err(Status::unimplemented(format!(
                        "container {} is a microVM, where {method:?} is not possible yet",
                        ours.id
                    ))),
                    None => self.forward(method, request).await,
                }
            }
            Method::GetContainerEvents => Err(Status::internal("it is answered with a stream")),
        }
    }

    /// Lets containerd answer.
    pub(crate) async fn forward(
        &self,
        method: Method,
        request: Request<Bytes>,
    ) -> Result<Bytes, Status> {
        self.0.upstream.unary(method.path(), request).await
    }
}

/// What runs of a container.
fn running(container: &Container) -> Result<machine::Shared, Status> {
    let state = container.record().state();
    let machine = container.machine();
    machine
        .filter(|_| state == ContainerState::ContainerRunning)
        .ok_or_else(|| {
            Status::failed_precondition(format!(
                "container {} does not run: it is in state {}",
                container.id,
                state.as_str_name()
            ))
        })
}

/// Snapshots are of a revision: its instances differ in nothing that counts.
pub(crate) fn snapshot_key(config: &cri::ContainerConfig) -> Option<String> {
    let revision = config.envs.iter().find(|it| it.key == "K_REVISION")?;
    let revision = str::from_utf8(&revision.value).ok()?;
    (!revision.is_empty()).then(|| revision.to_owned())
}

/// As containerd makes them.
pub(crate) fn new_id() -> Result<String, Status> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| Status::internal(error.to_string()))?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn read<M: Message + Default>(request: &Request<Bytes>) -> Result<M, Status> {
    M::decode(request.get_ref().clone()).map_err(malformed)
}

pub(crate) fn answer(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn malformed(error: prost::DecodeError) -> Status {
    Status::invalid_argument(format!("the message makes no sense: {error}"))
}

pub(crate) fn unwritten(error: &state::Error) -> Status {
    Status::internal(format!("the state of pods: {}", crate::chain(error)))
}
