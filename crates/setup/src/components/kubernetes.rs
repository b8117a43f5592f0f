//! kubeadm, kubelet and kubectl, at one version.

use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};

const KEY: &str = "/etc/apt/keyrings/kubernetes.asc";

pub(super) fn component(target: &Target) -> Component {
    let system = &target.config.system;
    let repository = &system.kube_repo_url;
    let version = &system.kube_version;
    let mut names = vec!["cri-tools".to_owned(), "kubernetes-cni".to_owned()];
    names.extend(["kubeadm", "kubelet", "kubectl"].map(|name| format!("{name}={version}")));
    super::component(
        "kubernetes",
        &["packages", "stock-packages"],
        vec![
            Step::new(
                "kubernetes/key",
                "apt takes packages only from whom it knows",
                Action::Fetch(Fetch {
                    url: format!("{repository}Release.key"),
                    published: Published::Nowhere,
                    files: vec![Fetched {
                        member: None,
                        to: KEY.into(),
                        mode: 0o644,
                    }],
                }),
            ),
            Step::new(
                "kubernetes/repository",
                "no distribution has this version",
                Action::Write {
                    path: "/etc/apt/sources.list.d/kubernetes.list".into(),
                    content: format!(
                        "# Written by vhive setup.\ndeb [signed-by={KEY}] {repository} /\n"
                    ),
                    mode: 0o644,
                },
            ),
            Step::new(
                "kubernetes/packages",
                "all nodes of a cluster at one version, until somebody changes it",
                Action::Packages { names, hold: true },
            ),
        ],
    )
}
