//! What is told of containers: lists, states, use, events. What containerd says comes first, as it is.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use prost::Message;
use tokio::sync::broadcast;
use tonic::{Request, Status};

use super::{answer, malformed, read};
use crate::container::{self, Container};
use crate::method::Method;
use crate::proto::runtime_v1 as cri;
use crate::{Cri, stats, wire};
use cri::ContainerState;

impl Cri {
    pub(super) async fn list_containers(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
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

    pub(super) async fn container_status(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
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
        Ok(answer(&response))
    }

    pub(super) async fn list_container_stats(
        &self,
        request: Request<Bytes>,
    ) -> Result<Bytes, Status> {
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
    pub(super) async fn status(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let theirs = self.forward(Method::Status, request).await?;
        let read = cri::StatusResponse::decode(theirs.clone()).map_err(malformed)?;
        let named = |name: &str| cri::RuntimeHandler {
            name: name.to_owned(),
            features: Some(cri::RuntimeHandlerFeatures::default()),
        };
        // One that tells of no handlers has the one without a name; a list without that one would say that it has not.
        let default = read.runtime_handlers.is_empty().then_some("");
        let handlers = self.0.handlers.iter().map(String::as_str);
        let ours = cri::StatusResponse {
            runtime_handlers: default.into_iter().chain(handlers).map(named).collect(),
            ..Default::default()
        };
        Ok(wire::appended(&theirs, [&ours.encode_to_vec()[..]]))
    }

    /// containerd's events and ours, as they come.
    pub(super) async fn events(
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
