//! The life of a container that is a microVM: created, started, stopped, removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use sandbox::State as InstanceState;
use tonic::{Request, Status};
use tracing::{info, warn};

use super::{answer, new_id, read, snapshot_key, unwritten};
use crate::Cri;
use crate::container::{Container, End, Record, nanoseconds};
use crate::machine;
use crate::method::Method;
use crate::mounts::Mounts;
use crate::plan::Plan;
use crate::proto::runtime_v1 as cri;
use crate::seed;
use cri::{ContainerEventType, ContainerState};

impl Cri {
    pub(super) async fn create_container(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
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
        Ok(answer(&cri::CreateContainerResponse {
            container_id: id.clone(),
        }))
    }

    /// Starts a container, once in its life.
    pub(super) async fn start(&self, container: &Arc<Container>) -> Result<(), Status> {
        let _turn = container.turn.lock().await;
        if self.0.registry.container(&container.id).is_none() {
            return Err(Status::not_found(format!(
                "container {} was removed",
                container.id
            )));
        }
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
    pub(super) async fn stop(&self, container: &Arc<Container>, grace: Duration) {
        // A start that is under way is cut short.
        if let Some(machine) = container.machine() {
            machine.handle().stop(grace);
        }
        let _turn = container.turn.lock().await;
        end(container, grace).await;
    }

    pub(super) async fn remove(&self, container: &Arc<Container>) -> Result<(), Status> {
        if let Some(machine) = container.machine() {
            machine.handle().stop(Duration::ZERO);
        }
        let _turn = container.turn.lock().await;
        end(container, Duration::ZERO).await;
        let removed = self.0.state.remove_container(&container.id);
        removed.map_err(|error| unwritten(&error))?;
        if let Some(machine) = container.machine() {
            machine.remove_log();
        }
        container.set_machine(None);
        // Two may remove it at once.
        if self.0.registry.remove_container(&container.id) {
            self.tell(container, ContainerEventType::ContainerDeletedEvent);
        }
        Ok(())
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

/// Ends what runs of a container; the caller has the turn.
async fn end(container: &Container, grace: Duration) {
    if let Some(machine) = container.machine() {
        machine.handle().stop(grace);
        container.ended().await;
    }
}

async fn mounts(config: &cri::ContainerConfig) -> Result<Mounts, Status> {
    let mounts = config.mounts.clone();
    let read = tokio::task::spawn_blocking(move || Mounts::read(&mounts));
    let read = read
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(read?)
}
