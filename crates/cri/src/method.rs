//! The methods that concern containers in microVMs. All others are containerd's alone.

/// A method that is read, and answered by us, by containerd, or by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    RunPodSandbox,
    StopPodSandbox,
    RemovePodSandbox,
    PodSandboxStatus,
    ListPodSandbox,
    CreateContainer,
    StartContainer,
    StopContainer,
    RemoveContainer,
    ListContainers,
    ContainerStatus,
    UpdateContainerResources,
    ReopenContainerLog,
    ExecSync,
    Exec,
    Attach,
    ContainerStats,
    ListContainerStats,
    CheckpointContainer,
    Status,
    GetContainerEvents,
}

use Method as M;

const PATHS: &[(Method, &str)] = &[
    (M::RunPodSandbox, "/runtime.v1.RuntimeService/RunPodSandbox"),
    (
        M::StopPodSandbox,
        "/runtime.v1.RuntimeService/StopPodSandbox",
    ),
    (
        M::RemovePodSandbox,
        "/runtime.v1.RuntimeService/RemovePodSandbox",
    ),
    (
        M::PodSandboxStatus,
        "/runtime.v1.RuntimeService/PodSandboxStatus",
    ),
    (
        M::ListPodSandbox,
        "/runtime.v1.RuntimeService/ListPodSandbox",
    ),
    (
        M::CreateContainer,
        "/runtime.v1.RuntimeService/CreateContainer",
    ),
    (
        M::StartContainer,
        "/runtime.v1.RuntimeService/StartContainer",
    ),
    (M::StopContainer, "/runtime.v1.RuntimeService/StopContainer"),
    (
        M::RemoveContainer,
        "/runtime.v1.RuntimeService/RemoveContainer",
    ),
    (
        M::ListContainers,
        "/runtime.v1.RuntimeService/ListContainers",
    ),
    (
        M::ContainerStatus,
        "/runtime.v1.RuntimeService/ContainerStatus",
    ),
    (
        M::UpdateContainerResources,
        "/runtime.v1.RuntimeService/UpdateContainerResources",
    ),
    (
        M::ReopenContainerLog,
        "/runtime.v1.RuntimeService/ReopenContainerLog",
    ),
    (M::ExecSync, "/runtime.v1.RuntimeService/ExecSync"),
    (M::Exec, "/runtime.v1.RuntimeService/Exec"),
    (M::Attach, "/runtime.v1.RuntimeService/Attach"),
    (
        M::ContainerStats,
        "/runtime.v1.RuntimeService/ContainerStats",
    ),
    (
        M::ListContainerStats,
        "/runtime.v1.RuntimeService/ListContainerStats",
    ),
    (
        M::CheckpointContainer,
        "/runtime.v1.RuntimeService/CheckpointContainer",
    ),
    (M::Status, "/runtime.v1.RuntimeService/Status"),
    (
        M::GetContainerEvents,
        "/runtime.v1.RuntimeService/GetContainerEvents",
    ),
];

impl Method {
    pub(crate) fn of(path: &str) -> Option<Self> {
        let found = PATHS.iter().find(|(_, it)| *it == path);
        found.map(|(method, _)| *method)
    }

    pub(crate) fn path(self) -> &'static str {
        let found = PATHS.iter().find(|(method, _)| *method == self);
        found.map_or("/", |(_, path)| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_one_of_the_cri() {
        let proto = include_str!("../proto/api.proto");
        for (method, path) in PATHS {
            assert_eq!(method.path(), *path);
            let name = path.strip_prefix("/runtime.v1.RuntimeService/").unwrap();
            assert!(proto.contains(&format!("rpc {name}(")), "{path}");
        }
    }
}
