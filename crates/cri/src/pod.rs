//! Pods whose function containers are microVMs: their sandbox and network are containerd's.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use sys::netns::NetNs;
use tokio::sync::OnceCell;
use tonic::Status;

use crate::method::Method;
use crate::proto::runtime_v1 as cri;
use crate::upstream::Upstream;

/// The containers of a pod that are microVMs, with commas between; for pods that do not follow the rule.
const CONTAINERS: &str = "vhive.dev/containers";
/// Proxies that others put into pods: they are to see the pod's network as it is.
const SIDECARS: &[&str] = &["queue-proxy", "istio-proxy", "istio-init", "linkerd-proxy"];
/// On pods of Knative.
const REVISION_LABEL: &str = "serving.knative.dev/revision";
/// Knative gives it to the one container of a revision that serves requests.
const PORT: &str = "PORT";

/// A pod of ours.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) id: String,
    pub(crate) handler: String,
    pub(crate) config: cri::PodSandboxConfig,
    namespace: OnceCell<Arc<NetNs>>,
}

impl Pod {
    pub(crate) fn new(id: String, request: cri::RunPodSandboxRequest) -> Self {
        Self {
            id,
            handler: request.runtime_handler,
            config: request.config.unwrap_or_default(),
            namespace: OnceCell::new(),
        }
    }

    /// Whether a container of this pod is a microVM.
    pub(crate) fn in_microvm(&self, container: &cri::ContainerConfig) -> bool {
        let name = name(container);
        if let Some(listed) = self.config.annotations.get(CONTAINERS) {
            return listed.split(',').any(|it| it.trim() == name);
        }
        if SIDECARS.contains(&name) {
            return false;
        }
        !self.config.labels.contains_key(REVISION_LABEL)
            || container.envs.iter().any(|it| it.key == PORT)
    }

    /// The pod's network namespace, which CNI has set up.
    pub(crate) async fn namespace(&self, upstream: &Upstream) -> Result<Arc<NetNs>, Status> {
        let found = self.namespace.get_or_try_init(|| async {
            let path = namespace_path(upstream, &self.id).await?;
            let opened = NetNs::open(&path);
            opened
                .map(Arc::new)
                .map_err(|error| Status::failed_precondition(crate::chain(&error)))
        });
        found.await.cloned()
    }
}

/// The name of a container in its pod.
pub(crate) fn name(container: &cri::ContainerConfig) -> &str {
    container
        .metadata
        .as_ref()
        .map_or("", |metadata| &metadata.name)
}

/// Where the namespace of a pod is, as containerd tells those who want to know much.
pub(crate) async fn namespace_path(upstream: &Upstream, id: &str) -> Result<PathBuf, Status> {
    let request = cri::PodSandboxStatusRequest {
        pod_sandbox_id: id.to_owned(),
        verbose: true,
    };
    let path = Method::PodSandboxStatus.path();
    let answer: cri::PodSandboxStatusResponse = upstream.call(path, &request).await?;
    let info = answer.info.get("info").map_or("", String::as_str);
    let info: Value = serde_json::from_str(info).unwrap_or_default();
    network_namespace(&info).ok_or_else(|| {
        Status::failed_precondition(format!(
            "pod sandbox {id} has no network namespace of its own: pods in the host's network cannot have microVMs"
        ))
    })
}

/// In the OCI configuration of the sandbox's own container; a namespace without a path would be the runtime's to make, and is found by
/// the process.
fn network_namespace(info: &Value) -> Option<PathBuf> {
    let namespaces = info.pointer("/runtimeSpec/linux/namespaces")?.as_array()?;
    let network = namespaces.iter().find(|it| it["type"] == "network")?;
    match network["path"].as_str() {
        Some(path) if !path.is_empty() => Some(path.into()),
        _ => {
            let pid = info["pid"].as_u64().filter(|pid| *pid != 0)?;
            Some(format!("/proc/{pid}/ns/net").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Pod {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        Pod::new(
            "p".into(),
            cri::RunPodSandboxRequest {
                config: Some(cri::PodSandboxConfig {
                    labels: map(labels),
                    annotations: map(annotations),
                    ..Default::default()
                }),
                runtime_handler: "vhive".into(),
            },
        )
    }

    fn container(name: &str, port: bool) -> cri::ContainerConfig {
        cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: name.into(),
                attempt: 0,
            }),
            envs: port
                .then(|| cri::KeyValue {
                    key: PORT.into(),
                    value: "8080".into(),
                })
                .into_iter()
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn of_a_knative_pod_the_container_that_serves_is_a_microvm_and_sidecars_are_not() {
        let pod = pod(&[(REVISION_LABEL, "f-00001")], &[]);
        assert!(pod.in_microvm(&container("user-container", true)));
        assert!(!pod.in_microvm(&container("logger", false)));
        assert!(!pod.in_microvm(&container("queue-proxy", true)));
    }

    #[test]
    fn of_any_other_pod_all_are_but_proxies_unless_it_names_them() {
        let plain = pod(&[], &[]);
        assert!(plain.in_microvm(&container("anything", false)));
        assert!(!plain.in_microvm(&container("istio-proxy", false)));
        let listed = pod(&[], &[(CONTAINERS, "a, b")]);
        assert!(listed.in_microvm(&container("b", false)));
        assert!(!listed.in_microvm(&container("c", true)));
    }

    #[test]
    fn the_network_is_that_of_the_sandbox_and_never_the_hosts() {
        let spec = |namespace: Value| json!({"pid": 7, "runtimeSpec": {"linux": {"namespaces": [{"type": "pid"}, namespace]}}});
        let named = spec(json!({"type": "network", "path": "/var/run/netns/cni-1"}));
        assert_eq!(
            network_namespace(&named),
            Some("/var/run/netns/cni-1".into())
        );
        let unnamed = spec(json!({"type": "network"}));
        assert_eq!(network_namespace(&unnamed), Some("/proc/7/ns/net".into()));
        assert_eq!(network_namespace(&spec(json!({"type": "ipc"}))), None);
        assert_eq!(network_namespace(&Value::Null), None);
    }
}
