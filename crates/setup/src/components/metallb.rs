//! `MetalLB`, which gives the ingress an address.

use crate::config::fill;
use crate::plan::{Action, Check, Command, Component, Published, Step, Target, Undo};

use super::manifests::{applied, available, fetched, written};

pub(super) fn component(target: &Target) -> Component {
    let knative = &target.config.knative;
    let url = fill(
        &knative.metal_lb_manifest_url_template,
        &[&knative.metal_lb_version],
    );
    let proxy = "get configmap kube-proxy -n kube-system -o yaml";
    let pool = include_str!("../../../../configs/metallb/pool.yaml");
    super::component(
        "metallb",
        &["calico"],
        vec![
            Step::new(
                "metallb/strict-arp",
                "a cluster that was created otherwise may have IPVS answer ARP for MetalLB's addresses",
                Action::Run {
                    command: Command::shell(&format!(
                        "{0} {proxy} | sed 's/strictARP: false/strictARP: true/' | {0} apply -f - -n kube-system",
                        Command::kubectl("")
                    )),
                    check: Check::Prints {
                        command: Command::kubectl(proxy),
                        text: "strictARP: true".to_owned(),
                    },
                    undo: Undo::WithCluster,
                    recover: None,
                },
            ),
            fetched(
                "metallb/manifest",
                "addresses for services outside a cloud",
                "metallb",
                url,
                Published::Nowhere,
            ),
            written(
                "metallb/overlay",
                "the manifest as it is",
                "metallb",
                "kustomization.yaml",
                "resources: [metallb-native.yaml]\n".to_owned(),
            ),
            applied(
                "metallb/apply",
                "addresses for services outside a cloud",
                "metallb",
            ),
            available(
                "metallb/available",
                "MetalLB's controller",
                "deploy/controller",
                "metallb-system",
            ),
            written(
                "metallb/pool-file",
                "the addresses that it may give out; MetalLBAddresses in knative.json changes them",
                "metallb-pool",
                "pool.yaml",
                pool.replace("ADDRESSES", &knative.metal_lb_addresses),
            ),
            written(
                "metallb/pool-overlay",
                "the pool as it is",
                "metallb-pool",
                "kustomization.yaml",
                "resources: [pool.yaml]\n".to_owned(),
            ),
            applied(
                "metallb/pool",
                "the ingress gets one of these addresses",
                "metallb-pool",
            ),
        ],
    )
}
