//! Calico, the network between pods.

use std::time::Duration;

use crate::config::fill;
use crate::plan::{Action, Check, Command, Component, Published, Step, Target};

use super::manifests::{applied, fetched, written};

pub(super) fn component(target: &Target) -> Component {
    let kube = &target.config.kube;
    let url = fill(&kube.calico_manifest_url_template, &[&kube.calico_version]);
    let mut overlay = include_str!("../../../../configs/calico/kustomization.yaml").to_owned();
    if target.options.nftables {
        overlay.push_str(include_str!("../../../../configs/calico/nftables.yaml"));
    }
    super::component(
        "calico",
        &["cluster", "alone", "joined"],
        vec![
            fetched(
                "calico/manifest",
                "the network between pods",
                "calico",
                url,
                Published::Nowhere,
            ),
            written(
                "calico/overlay",
                "each node is reached by the address that its kubelet names",
                "calico",
                "kustomization.yaml",
                overlay,
            ),
            applied(
                "calico/apply",
                "pods on different nodes reach each other",
                "calico",
            ),
            Step::new(
                "calico/nodes",
                "a node is ready when its network is",
                Action::Wait {
                    what: "all nodes to be ready",
                    check: Check::Succeeds(Command::kubectl(
                        "wait nodes --all --for=condition=Ready --timeout=10s",
                    )),
                    timeout: Duration::from_secs(600),
                },
            ),
        ],
    )
}
