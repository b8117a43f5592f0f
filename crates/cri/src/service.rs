//! The calls that concern microVMs: ours, containerd's, or both put together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use hyper::body::Incoming;
use jiff::Timestamp;
use prost::Message;
use sandbox::{Memory, Sandbox, State as InstanceState};
use tokio::sync::broadcast;
use tonic::{Request, Status};
use tracing::{info, warn};

use crate::container::{self, Container, End, Record, nanoseconds};
use crate::grpc::{self, Body};
use crate::images::Images;
use crate::machine::{self, Plan};
use crate::method::Method;
use crate::mounts::Mounts;
use crate::pod::{HANDLERS, Pod};
use crate::proto::runtime_v1 as cri;
use crate::registry::Registry;
use crate::seed::{self, Addresses};
use crate::state::{self, State};
use crate::upstream::Upstream;
use crate::{Cri, stats, wire};
use cri::{ContainerEventType, ContainerState};

/// Events that a reader may be behind.
const EVENTS: usize = 1024;
/// Of `RunPodSandboxRequest`.
const RUNTIME_HANDLER: u32 = 2;
/// Of `PodSandbox` and `PodSandboxStatus`.
const ID: u32 = 1;
/// An empty message, encoded.
const EMPTY: Bytes = Bytes::new();

/// All that the calls share.
pub(crate) struct Inner {
    pub(crate) images: Images,
    pub(crate) upstream: Upstream,
    pub(crate) registry: Registry,
    pub(crate) state: State,
    pub(crate) sandbox: Sandbox,
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
        memory: Option<Memory>,
    ) -> Self {
        Self {
            images,
            upstream,
            registry,
            state,
            sandbox,
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
                match self.0.registry.container(&asked.container_id) {
                    Some(ours) => self.start(&ours).await.map(|()| EMPTY),
                    None => {
                        self.guest_runs(&asked.container_id).await?;
                        self.forward(method, request).await
                    }
                }
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
                match self.0.registry.container(&asked.container_id) {
                    Some(ours) => self.remove(&ours).await.map(|()| EMPTY),
                    None => {
                        self.end_guest(&asked.container_id).await;
                        self.forward(method, request).await
                    }
                }
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
                    Some(ours) => answer(&cri::ContainerStatsResponse {
                        stats: Some(stats::of(&ours)),
                    }),
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
                answer(&running(&ours)?.exec(asked.cmd, timeout).await?)
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

    async fn run_pod_sandbox(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::RunPodSandboxRequest = read(&request)?;
        let method = Method::RunPodSandbox;
        if !HANDLERS.contains(&&*asked.runtime_handler) {
            return self.forward(method, request).await;
        }
        let as_asked = request.get_ref().clone();
        // containerd need not know our handlers: to it, the pod is one of its own.
        let plain = wire::without(&as_asked, RUNTIME_HANDLER).map_err(malformed)?;
        let made = self.forward(method, request.map(|_| plain)).await?;
        let id = cri::RunPodSandboxResponse::decode(made.clone()).map_err(malformed)?;
        let id = id.pod_sandbox_id;
        // A pod that is not written down would be nobody's after a restart: then it is not to be.
        if let Err(error) = self.0.state.put_pod(&id, &as_asked) {
            let request = cri::RemovePodSandboxRequest {
                pod_sandbox_id: id.clone(),
            };
            let path = Method::RemovePodSandbox.path();
            let removed = self
                .0
                .upstream
                .call::<cri::RunPodSandboxResponse>(path, &request);
            if let Err(status) = removed.await {
                warn!(%status, pod = id, "cannot remove a pod that could not be written down");
            }
            return Err(unwritten(&error));
        }
        self.0.registry.add_pod(Pod::new(id, asked));
        Ok(made)
    }

    async fn stop_pod_sandbox(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::StopPodSandboxRequest = read(&request)?;
        // As the CRI has it: forcibly.
        let ours = self.0.registry.containers_of(&asked.pod_sandbox_id);
        let stops = ours.iter().map(|it| self.stop(it, Duration::ZERO));
        futures_util::future::join_all(stops).await;
        self.forward(Method::StopPodSandbox, request).await
    }

    async fn remove_pod_sandbox(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::RemovePodSandboxRequest = read(&request)?;
        for ours in self.0.registry.containers_of(&asked.pod_sandbox_id) {
            self.remove(&ours).await?;
        }
        // containerd removes their stubs with the pod.
        for (stub, _) in self.0.registry.guests_of(&asked.pod_sandbox_id) {
            self.end_guest(&stub).await;
        }
        self.0.addresses.set(&asked.pod_sandbox_id, None);
        let removed = self.forward(Method::RemovePodSandbox, request).await?;
        if self.0.registry.pod(&asked.pod_sandbox_id).is_some() {
            let written = self.0.state.remove_pod(&asked.pod_sandbox_id);
            written.map_err(|error| unwritten(&error))?;
            self.0.registry.remove_pod(&asked.pod_sandbox_id);
        }
        Ok(removed)
    }

    async fn pod_sandbox_status(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::PodSandboxStatusRequest = read(&request)?;
        let theirs = self.forward(Method::PodSandboxStatus, request).await?;
        let Some(pod) = self.0.registry.pod(&asked.pod_sandbox_id) else {
            return Ok(theirs);
        };
        let status = cri::PodSandboxStatus {
            runtime_handler: pod.handler.clone(),
            ..Default::default()
        };
        let read = cri::PodSandboxStatusResponse::decode(theirs.clone()).map_err(malformed)?;
        let mut more = vec![wire::field(1, &status.encode_to_vec())];
        // Containers are in it only where containerd puts its own there.
        if read.timestamp != 0 {
            let ours = self.0.registry.containers_of(&pod.id);
            more.extend(
                ours.iter()
                    .map(|it| wire::field(3, &it.status().encode_to_vec())),
            );
        }
        Ok(wire::appended(&theirs, more.iter().map(|it| &it[..])))
    }

    async fn list_pod_sandbox(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let theirs = self.forward(Method::ListPodSandbox, request).await?;
        let with_handler = wire::extend_each(&theirs, 1, ID, |id| {
            let pod = self.0.registry.pod(id)?;
            // PodSandbox.runtime_handler
            Some(wire::field(7, pod.handler.as_bytes()))
        });
        with_handler.map_err(malformed)
    }

    async fn create_container(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::CreateContainerRequest = read(&request)?;
        let config = asked.config.clone().unwrap_or_default();
        if let Some(guest) = seed::asked(&config) {
            return self.create_stub(request, asked, guest?).await;
        }
        let pod = self.0.registry.pod(&asked.pod_sandbox_id);
        let Some(pod) = pod.filter(|pod| pod.in_microvm(&config)) else {
            let request = self.with_address(request, &asked.pod_sandbox_id, &config);
            return self.forward(Method::CreateContainer, request).await;
        };
        let image = config.image.clone().unwrap_or_default().image;
        let prepared = self.0.images.prepare(&image).await?;
        // What cannot be mounted is told now, and read again when it starts.
        mounts(&config).await?;
        let record = Record {
            created_at: nanoseconds(Timestamp::now()),
            image_id: prepared.id,
            image_ref: prepared.reference,
            image_name: prepared.name,
            ..Record::default()
        };
        let container = Container::new(new_id()?, pod, config, record.clone());
        let container = self.0.registry.add_container(container)?;
        let id = &container.id;
        if let Err(error) = self.0.state.put_container(id, request.get_ref(), &record) {
            self.0.registry.remove_container(id);
            return Err(unwritten(&error));
        }
        self.tell(&container, ContainerEventType::ContainerCreatedEvent);
        answer(&cri::CreateContainerResponse {
            container_id: id.clone(),
        })
    }

    /// Starts a container, once in its life.
    async fn start(&self, container: &Arc<Container>) -> Result<(), Status> {
        let _turn = container.turn.lock().await;
        let state = container.record().state();
        if state != ContainerState::ContainerCreated {
            return Err(Status::failed_precondition(format!(
                "container {} cannot be started: it is in state {}",
                container.id,
                state.as_str_name()
            )));
        }
        let started = self.launch(container).await;
        if let Err(status) = &started
            && container.record().finished_at == 0
        {
            self.finish(container, End::not_started(status.message()));
        }
        started
    }

    async fn launch(&self, container: &Arc<Container>) -> Result<(), Status> {
        let (pod, config) = (&container.pod, &container.config);
        let image = container.record().image_id;
        let prepared = self.0.images.prepare(&image).await?;
        let mounts = mounts(config).await?;
        let namespace = pod.namespace(&self.0.upstream).await?;
        // Sockets have short names, and theirs are below a folder of this name.
        let id = container.id.get(..16).unwrap_or(&container.id);
        let mut plan = Plan::of(
            id,
            config,
            &pod.config,
            &prepared.config,
            prepared.root,
            mounts,
        );
        plan.log = self.log_of(&container.id);
        plan.copy = container.log_path();
        if let (Some(memory), Some(key)) = (self.0.memory, snapshot_key(config)) {
            plan.saved_as(key, memory);
        }
        let ports = plan.ports.clone();
        let machine = Arc::new(plan.start(&self.0.sandbox, &namespace)?);
        container.set_machine(Some(machine.clone()));
        container.change(|record| record.ports = ports);
        let settled = machine.handle().settled().await;
        let failure = match settled {
            InstanceState::Failed(failure) => Some(failure),
            _ => None,
        };
        let end = failure.as_ref().map(End::failed);
        if let (Some(end), Some(failure)) = (end, failure)
            && end.is_start_error()
        {
            machine.ended().await;
            self.finish(container, end);
            return Err(machine::refused(&failure));
        }
        // What ran for a moment has run.
        let record = container.change(|it| it.started_at = nanoseconds(Timestamp::now()));
        self.put(container, &record);
        self.tell(container, ContainerEventType::ContainerStartedEvent);
        let phases = machine.handle().phases();
        info!(container = container.id, ?phases, "a microVM runs");
        let (cri, container) = (self.clone(), container.clone());
        self.0.machines.spawn(async move {
            let end = match machine.ended().await {
                InstanceState::Failed(failure) => End::failed(&failure),
                _ => End::stopped(machine.handle().exit()),
            };
            cri.finish(&container, end);
        });
        Ok(())
    }

    /// Writes down how a container ended.
    fn finish(&self, container: &Container, end: End) {
        info!(
            container = container.id,
            exit_code = end.exit_code,
            reason = end.reason,
            "a microVM ended"
        );
        let record = container.change(|record| {
            record.finished_at = nanoseconds(Timestamp::now());
            record.end = end;
        });
        self.put(container, &record);
        self.tell(container, ContainerEventType::ContainerStoppedEvent);
    }

    fn put(&self, container: &Container, record: &Record) {
        // What it is now is so all the same; a successor would think that it ended.
        if let Err(error) = self.0.state.put_record(&container.id, record) {
            let error = crate::chain(&error);
            warn!(
                error,
                container = container.id,
                "cannot write down how far a container is"
            );
        }
    }

    /// Stops what runs, and returns when it has ended. What does not run is stopped.
    async fn stop(&self, container: &Arc<Container>, grace: Duration) {
        let Some(machine) = container.machine() else {
            return;
        };
        machine.handle().stop(grace);
        machine.handle().stopped().await;
        // A start that is under way writes down how it ended.
        let _turn = container.turn.lock().await;
        while container.record().state() == ContainerState::ContainerRunning {
            machine.ended().await;
            tokio::task::yield_now().await;
        }
    }

    async fn remove(&self, container: &Arc<Container>) -> Result<(), Status> {
        self.stop(container, Duration::ZERO).await;
        let _turn = container.turn.lock().await;
        let removed = self.0.state.remove_container(&container.id);
        removed.map_err(|error| unwritten(&error))?;
        if let Some(machine) = container.machine() {
            machine.remove_log();
        }
        container.set_machine(None);
        self.0.registry.remove_container(&container.id);
        self.tell(container, ContainerEventType::ContainerDeletedEvent);
        Ok(())
    }

    async fn list_containers(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::ListContainersRequest = read(&request)?;
        let filter = asked.filter.unwrap_or_default();
        let theirs = self.forward(Method::ListContainers, request).await?;
        let ours = self.0.registry.containers();
        let ours = ours.iter().map(|it| it.listed());
        let ours = ours.filter(|it| container::matches(it, &filter));
        let ours = cri::ListContainersResponse {
            containers: ours.collect(),
        };
        Ok(wire::appended(&theirs, [&ours.encode_to_vec()[..]]))
    }

    async fn container_status(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::ContainerStatusRequest = read(&request)?;
        let Some(ours) = self.0.registry.container(&asked.container_id) else {
            return self.forward(Method::ContainerStatus, request).await;
        };
        let mut response = cri::ContainerStatusResponse {
            status: Some(ours.status()),
            ..Default::default()
        };
        if asked.verbose {
            let info = ("info".to_owned(), verbose(&ours).to_string());
            response.info.extend([info]);
        }
        answer(&response)
    }

    async fn list_container_stats(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::ListContainerStatsRequest = read(&request)?;
        let filter = asked.filter.unwrap_or_default();
        let theirs = self.forward(Method::ListContainerStats, request).await?;
        let ours = self.0.registry.containers();
        let running = |it: &&Arc<Container>| {
            it.record().state() == ContainerState::ContainerRunning && stats::matches(it, &filter)
        };
        let ours = cri::ListContainerStatsResponse {
            stats: ours
                .iter()
                .filter(running)
                .map(|it| stats::of(it))
                .collect(),
        };
        Ok(wire::appended(&theirs, [&ours.encode_to_vec()[..]]))
    }

    /// containerd's, with our handlers among its own.
    async fn status(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let theirs = self.forward(Method::Status, request).await?;
        let read = cri::StatusResponse::decode(theirs.clone()).map_err(malformed)?;
        let named = |name: &str| cri::RuntimeHandler {
            name: name.to_owned(),
            features: Some(cri::RuntimeHandlerFeatures::default()),
        };
        // One that tells of no handlers has the one without a name; a list without that one would say that it has not.
        let default = read.runtime_handlers.is_empty().then_some("");
        let ours = cri::StatusResponse {
            runtime_handlers: default.iter().chain(HANDLERS).map(|it| named(it)).collect(),
            ..Default::default()
        };
        Ok(wire::appended(&theirs, [&ours.encode_to_vec()[..]]))
    }

    /// containerd's events and ours, as they come.
    async fn events(
        &self,
        request: Request<Bytes>,
    ) -> Result<impl futures_util::Stream<Item = Result<Bytes, Status>> + Send + use<>, Status>
    {
        let receiver = self.0.events.subscribe();
        let path = Method::GetContainerEvents.path();
        // Who cannot be told of all events is better told of none, and asks instead.
        let theirs = self.0.upstream.streaming(path, request).await?;
        let ours = stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((Ok(event), receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let lost = Status::data_loss("events were lost: list all containers");
                    Some((Err(lost), receiver))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        Ok(stream::select(theirs, ours))
    }

    fn tell(&self, container: &Container, what: ContainerEventType) {
        let event = cri::ContainerEventResponse {
            container_id: container.id.clone(),
            container_event_type: what.into(),
            created_at: nanoseconds(Timestamp::now()),
            pod_sandbox_status: Some(cri::PodSandboxStatus {
                id: container.pod.id.clone(),
                metadata: container.pod.config.metadata.clone(),
                labels: container.pod.config.labels.clone(),
                annotations: container.pod.config.annotations.clone(),
                runtime_handler: container.pod.handler.clone(),
                ..Default::default()
            }),
            containers_statuses: vec![container.status()],
        };
        // Nobody may listen.
        let _ = self.0.events.send(event.encode_to_vec().into());
    }

    /// Where the instance of a container writes what it prints, for us to copy.
    fn log_of(&self, id: &str) -> PathBuf {
        self.0.state.logs().join(format!("{id}.log"))
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

async fn mounts(config: &cri::ContainerConfig) -> Result<Mounts, Status> {
    let mounts = config.mounts.clone();
    let read = tokio::task::spawn_blocking(move || Mounts::read(&mounts));
    let read = read
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(read?)
}

/// Snapshots are of a revision: its instances differ in nothing that counts.
pub(crate) fn snapshot_key(config: &cri::ContainerConfig) -> Option<String> {
    let revision = config.envs.iter().find(|it| it.key == "K_REVISION")?;
    let revision = str::from_utf8(&revision.value).ok()?;
    (!revision.is_empty()).then(|| revision.to_owned())
}

/// What is told of a container to those who want to know much.
fn verbose(container: &Container) -> serde_json::Value {
    let record = container.record();
    let machine = container.machine();
    let phases = machine.iter().flat_map(|it| it.handle().phases());
    let phases: serde_json::Map<_, _> = phases
        .map(|it| (it.name.to_owned(), (it.duration.as_secs_f64() * 1e3).into()))
        .collect();
    serde_json::json!({
        "sandboxID": container.pod.id,
        "runtimeType": "vhive",
        "microVM": {
            "pid": machine.as_ref().and_then(|it| it.pid()),
            "state": machine.as_ref().map(|it| it.handle().state().to_string()),
            "ports": record.ports,
            "startMilliseconds": phases,
        },
    })
}

/// As containerd makes them.
pub(crate) fn new_id() -> Result<String, Status> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| Status::internal(error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn read<M: Message + Default>(request: &Request<Bytes>) -> Result<M, Status> {
    M::decode(request.get_ref().clone()).map_err(malformed)
}

pub(crate) fn answer(message: &impl Message) -> Result<Bytes, Status> {
    Ok(message.encode_to_vec().into())
}

pub(crate) fn malformed(error: prost::DecodeError) -> Status {
    Status::invalid_argument(format!("the message makes no sense: {error}"))
}

pub(crate) fn unwritten(error: &state::Error) -> Status {
    Status::internal(format!("the state of pods: {}", crate::chain(error)))
}
