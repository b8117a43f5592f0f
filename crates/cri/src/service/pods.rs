//! Pods: containerd's sandboxes, of which some are remembered.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tonic::{Request, Status};
use tracing::{info, warn};

use super::{malformed, read, unwritten};
use crate::method::Method;
use crate::pod::Pod;
use crate::proto::runtime_v1 as cri;
use crate::state::KeptGuest;
use crate::{Cri, wire};

/// Between two attempts to ask containerd, which may start after us.
const RETRY: Duration = Duration::from_secs(2);
/// Of `RunPodSandboxRequest`.
const RUNTIME_HANDLER: u32 = 2;
/// Of `PodSandbox` and `PodSandboxStatus`.
const ID: u32 = 1;

impl Cri {
    pub(super) async fn run_pod_sandbox(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::RunPodSandboxRequest = read(&request)?;
        let method = Method::RunPodSandbox;
        if !self.0.handlers.contains(&asked.runtime_handler) {
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

    pub(super) async fn stop_pod_sandbox(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let asked: cri::StopPodSandboxRequest = read(&request)?;
        // As the CRI has it: forcibly.
        let ours = self.0.registry.containers_of(&asked.pod_sandbox_id);
        let stops = ours.iter().map(|it| self.stop(it, Duration::ZERO));
        futures_util::future::join_all(stops).await;
        self.forward(Method::StopPodSandbox, request).await
    }

    pub(super) async fn remove_pod_sandbox(
        &self,
        request: Request<Bytes>,
    ) -> Result<Bytes, Status> {
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

    pub(super) async fn pod_sandbox_status(
        &self,
        request: Request<Bytes>,
    ) -> Result<Bytes, Status> {
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

    pub(super) async fn list_pod_sandbox(&self, request: Request<Bytes>) -> Result<Bytes, Status> {
        let theirs = self.forward(Method::ListPodSandbox, request).await?;
        let with_handler = wire::extend_each(&theirs, 1, ID, |id| {
            let pod = self.0.registry.pod(id)?;
            // PodSandbox.runtime_handler
            Some(wire::field(7, pod.handler.as_bytes()))
        });
        with_handler.map_err(malformed)
    }

    /// Brings what is known from before into line with what containerd has, once it answers: stubs whose guests are gone are stopped,
    /// and pods that were removed while nobody was here are forgotten.
    pub(crate) async fn catch_up(&self, orphans: Vec<(String, KeptGuest)>) {
        // Those that come later are there.
        let known = self.0.registry.pods();
        let request = cri::ListPodSandboxRequest::default();
        let path = Method::ListPodSandbox.path();
        let listed: cri::ListPodSandboxResponse = loop {
            match self.0.upstream.call(path, &request).await {
                Ok(listed) => break listed,
                Err(status) => info!(%status, "waiting for containerd"),
            }
            tokio::time::sleep(RETRY).await;
        };
        self.end_orphans(orphans).await;
        let theirs: HashSet<String> = listed.items.into_iter().map(|it| it.id).collect();
        for pod in known.into_iter().filter(|it| !theirs.contains(&it.id)) {
            info!(
                pod = pod.id,
                "containerd has it no more, and it is forgotten"
            );
            for ours in self.0.registry.containers_of(&pod.id) {
                if let Err(status) = self.remove(&ours).await {
                    warn!(%status, container = ours.id, "cannot forget a container");
                }
            }
            if let Err(error) = self.0.state.remove_pod(&pod.id) {
                let error = crate::chain(&error);
                warn!(error, pod = pod.id, "cannot forget a pod");
            }
            self.0.registry.remove_pod(&pod.id);
        }
    }
}
