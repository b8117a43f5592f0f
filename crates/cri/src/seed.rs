//! The way of the original vHive: a container named `user-container` with `GUEST_IMAGE` and `GUEST_PORT` is a stub, made by containerd
//! of the image that its pod names; beside it runs a microVM of the other image. `queue-proxy` is told by `GUEST_ADDR` and `GUEST_PORT`
//! where that is. What happens to the stub happens to the microVM.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prost::Message;
use sandbox::State as InstanceState;
use tokio::sync::watch;
use tonic::{Request, Status};
use tracing::warn;

use crate::forward::Forward;
use crate::machine::{self, Machine};
use crate::method::Method;
use crate::mounts::Mounts;
use crate::plan::Plan;
use crate::proto::runtime_v1 as cri;
use crate::service::{malformed, new_id, snapshot_key, unwritten};
use crate::state::KeptGuest;
use crate::{Cri, pod, wire};

const STUB: &str = "user-container";
const PROXY: &str = "queue-proxy";
const GUEST_IMAGE: &str = "GUEST_IMAGE";
const GUEST_PORT: &str = "GUEST_PORT";
const GUEST_ADDR: &str = "GUEST_ADDR";
/// Of `CreateContainerRequest`, and of `ContainerConfig`.
const CONFIG: u32 = 2;

/// A microVM for which a container stands in containerd.
pub(crate) struct Guest {
    pub(crate) pod: String,
    /// Where it is reached in the pod.
    port: u16,
    machine: Machine,
}

/// Where guests of earlier stubs were reached, by pod: its `queue-proxy` knows, and lives on.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<HashMap<String, u16>>);

impl Addresses {
    fn get(&self, pod: &str) -> Option<u16> {
        let ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get(pod).copied()
    }

    pub(crate) fn set(&self, pod: &str, port: Option<u16>) {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match port {
            Some(port) => ports.insert(pod.to_owned(), port),
            None => ports.remove(pod),
        };
    }
}

/// The image and the port of the guest that a container stands for.
pub(crate) fn asked(config: &cri::ContainerConfig) -> Option<Result<(String, u16), Status>> {
    if pod::name(config) != STUB {
        return None;
    }
    let value = |name| {
        let found = config.envs.iter().find(|it| it.key == name);
        found.and_then(|it| str::from_utf8(&it.value).ok())
    };
    let image = value(GUEST_IMAGE)?;
    let port = value(GUEST_PORT).unwrap_or_default();
    let port = port.parse().ok().filter(|port| *port != 0);
    Some(port.map(|port| (image.to_owned(), port)).ok_or_else(|| {
        Status::invalid_argument(format!(
            "{GUEST_IMAGE} is given, and {GUEST_PORT} is no port number"
        ))
    }))
}

impl Cri {
    /// Makes the stub and starts the guest, one beside the other.
    pub(crate) async fn create_stub(
        &self,
        request: Request<Bytes>,
        asked: cri::CreateContainerRequest,
        (image, port): (String, u16),
    ) -> Result<Bytes, Status> {
        let guest = self.launch_guest(asked, &image, port).await?;
        let made = self.forward(Method::CreateContainer, request).await;
        let kept = KeptGuest {
            pod: guest.pod.clone(),
            port: guest.port,
        };
        let stub = made.and_then(|made| {
            let read = cri::CreateContainerResponse::decode(made.clone()).map_err(malformed)?;
            let written = self.0.state.put_guest(&read.container_id, &kept);
            written.map_err(|error| unwritten(&error))?;
            Ok((read.container_id, made))
        });
        match stub {
            Ok((stub, made)) => {
                self.0.addresses.set(&guest.pod, Some(guest.port));
                self.0.registry.add_guest(&stub, guest);
                Ok(made)
            }
            Err(status) => {
                guest.end().await;
                Err(status)
            }
        }
    }

    async fn launch_guest(
        &self,
        asked: cri::CreateContainerRequest,
        image: &str,
        port: u16,
    ) -> Result<Arc<Guest>, Status> {
        self.0.images.pull(image).await?;
        let prepared = self.0.images.prepare(image).await?;
        // The stub's own program and folders are the stub's.
        let config = cri::ContainerConfig {
            envs: asked.config.unwrap_or_default().envs,
            ..Default::default()
        };
        let pod_config = asked.sandbox_config.unwrap_or_default();
        let id = new_id()?;
        let mut plan = Plan::of(
            &id[..16],
            &config,
            &pod_config,
            &prepared.config,
            prepared.root,
            Mounts::default(),
        );
        plan.ports = vec![port];
        plan.log = self.0.state.logs().join(format!("{id}.log"));
        if let (Some(memory), Some(key)) = (self.0.memory, snapshot_key(&config)) {
            plan.saved_as(key, memory);
        }
        let path = pod::namespace_path(&self.0.upstream, &asked.pod_sandbox_id).await?;
        let network = sys::netns::NetNs::open(&path)
            .map_err(|error| Status::failed_precondition(crate::chain(&error)))?;
        let (target, targets) = watch::channel(None);
        let before = self.0.addresses.get(&asked.pod_sandbox_id);
        let forward = Forward::locally(&network, before.unwrap_or(0), port, targets);
        let forward = forward.map_err(|error: io::Error| {
            Status::failed_precondition(format!("nothing can listen in the pod: {error}"))
        })?;
        let at = forward.address.port();
        let machine = plan.launch(&self.0.sandbox, vec![forward]);
        target.send_replace(Some(machine.handle().clone()));
        Ok(Arc::new(Guest {
            pod: asked.pod_sandbox_id,
            port: at,
            machine,
        }))
    }

    /// The request, in which `queue-proxy` is told where the guest of its pod is, if it has one.
    pub(crate) fn with_address(
        &self,
        request: Request<Bytes>,
        pod_id: &str,
        config: &cri::ContainerConfig,
    ) -> Request<Bytes> {
        let Some(port) = self.0.addresses.get(pod_id) else {
            return request;
        };
        if pod::name(config) != PROXY {
            return request;
        }
        let env = |key: &str, value: String| cri::KeyValue {
            key: key.to_owned(),
            value: value.into(),
        };
        let more = cri::ContainerConfig {
            envs: vec![
                env(GUEST_ADDR, "127.0.0.1".to_owned()),
                env(GUEST_PORT, port.to_string()),
            ],
            ..Default::default()
        };
        let more = wire::field(CONFIG, &more.encode_to_vec());
        request.map(|message| wire::appended(&message, [&more[..]]))
    }

    /// Waits until the guest of a stub that is started runs.
    pub(crate) async fn guest_runs(&self, stub: &str) -> Result<(), Status> {
        let Some(guest) = self.0.registry.guest(stub) else {
            return Ok(());
        };
        match guest.machine.handle().settled().await {
            InstanceState::Failed(failure) => Err(machine::refused(&failure)),
            _ => Ok(()),
        }
    }

    /// Saves the guest of a stub that is removed, as the original does, and ends it.
    pub(crate) async fn end_guest(&self, stub: &str) {
        let Some(guest) = self.0.registry.remove_guest(stub) else {
            return;
        };
        guest.machine.save().await;
        guest.end().await;
        self.forget_guest(stub);
    }

    fn forget_guest(&self, stub: &str) {
        if let Err(error) = self.0.state.remove_guest(stub) {
            let error = crate::chain(&error);
            warn!(error, stub, "cannot forget a guest");
        }
    }

    /// Ends the stubs whose guests ended with an earlier process: then the kubelet makes both anew.
    pub(crate) async fn end_orphans(&self, orphans: Vec<(String, KeptGuest)>) {
        for (stub, _) in orphans {
            let request = cri::StopContainerRequest {
                container_id: stub.clone(),
                timeout: 0,
            };
            let path = Method::StopContainer.path();
            // The answer is empty.
            let stopped = self.0.upstream.call::<cri::VersionResponse>(path, &request);
            match stopped.await {
                Ok(_) => self.forget_guest(&stub),
                Err(status) if status.code() == tonic::Code::NotFound => self.forget_guest(&stub),
                Err(status) => {
                    warn!(%status, stub, "cannot stop a container whose microVM is gone");
                }
            }
        }
    }
}

impl Guest {
    async fn end(&self) {
        self.machine.handle().stop(std::time::Duration::ZERO);
        self.machine.ended().await;
        self.machine.remove_log();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, envs: &[(&str, &str)]) -> cri::ContainerConfig {
        let envs = envs.iter().map(|(key, value)| cri::KeyValue {
            key: (*key).into(),
            value: (*value).into(),
        });
        cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: name.into(),
                attempt: 0,
            }),
            envs: envs.collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_stub_is_told_by_its_name_and_what_it_names() {
        let both = [(GUEST_IMAGE, "a/b:c"), (GUEST_PORT, "50051")];
        let found = asked(&config(STUB, &both)).unwrap().unwrap();
        assert_eq!(found, ("a/b:c".to_owned(), 50051));
        assert!(asked(&config("other", &both)).is_none());
        assert!(asked(&config(STUB, &[])).is_none());
        for port in ["", "0", "70000", "x"] {
            let wrong = config(STUB, &[(GUEST_IMAGE, "a"), (GUEST_PORT, port)]);
            let status = asked(&wrong).unwrap().unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
        }
    }
}
