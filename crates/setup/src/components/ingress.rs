//! The ingress: Istio, or Kourier, which is smaller.

use crate::config::fill;
use crate::plan::{
    Action, Check, Command, Component, Fetch, Fetched, Published, Step, Target, Undo,
};

use super::manifests::{applied, available, beside, fetched, folder, written};

/// What requests come in by. Kourier is its own network layer.
pub(super) fn component(target: &Target) -> Component {
    if target.options.kourier {
        return super::component("ingress", &["metallb"], Vec::new());
    }
    let knative = &target.config.knative;
    let version = knative.istio_version.as_str();
    let arch = target.facts.architecture.debian();
    let url = fill(
        &knative.istio_download_url_template,
        &[version, version, arch],
    );
    let operator = folder("istio").join("operator.yaml");
    let operator = operator.to_string_lossy();
    let istioctl = |line: &str| {
        let words = ["istioctl", "--kubeconfig", crate::paths::ADMIN_CONF];
        Command::words(words.into_iter().chain(line.split_whitespace()))
    };
    super::component(
        "ingress",
        &["metallb"],
        vec![
            Step::new(
                "ingress/istioctl",
                "Istio is installed by it",
                Action::Fetch(Fetch {
                    published: Published::At(format!("{url}.sha256")),
                    url,
                    files: vec![Fetched {
                        member: Some(format!("istio-{version}/bin/istioctl")),
                        to: "/usr/local/bin/istioctl".into(),
                        mode: 0o755,
                    }],
                }),
            ),
            written(
                "ingress/operator",
                "two gateways and nothing else: no sidecar beside functions",
                "istio",
                "operator.yaml",
                include_str!("../../../../configs/istio/operator.yaml").to_owned(),
            ),
            Step::new(
                "ingress/install",
                "requests come in by Istio's gateway",
                Action::Run {
                    command: istioctl(&format!("install -y -f {operator}")),
                    check: Check::Prints {
                        command: Command::kubectl(
                            "-n istio-system get deploy/istiod deploy/istio-ingressgateway deploy/cluster-local-gateway -o jsonpath={.items[*].spec.template.spec.containers[*].image}",
                        ),
                        text: format!(":{version}"),
                    },
                    undo: Undo::WithCluster,
                    recover: None,
                },
            ),
        ],
    )
}

/// What tells the ingress of Knative's routes.
pub(super) fn network_layer(target: &Target) -> Component {
    let knative = &target.config.knative;
    let version = knative.knative_version.as_str();
    let (file, template, why, deployments, namespace) = if target.options.kourier {
        (
            "kourier.yaml",
            &knative.knative_net_kourier_url_template,
            "requests come in by Kourier",
            "deploy/net-kourier-controller",
            "knative-serving",
        )
    } else {
        (
            "net-istio.yaml",
            &knative.knative_net_istio_url_template,
            "Istio is told of Knative's routes",
            "deploy/net-istio-controller deploy/net-istio-webhook",
            "knative-serving",
        )
    };
    let url = fill(template, &[version, file]);
    let published = beside(&url);
    super::component(
        "network-layer",
        &["serving", "ingress"],
        vec![
            fetched(
                "network-layer/manifest",
                why,
                "network-layer",
                url,
                published,
            ),
            written(
                "network-layer/overlay",
                "the manifest as it is",
                "network-layer",
                "kustomization.yaml",
                format!("resources: [{file}]\n"),
            ),
            applied("network-layer/apply", why, "network-layer"),
            available(
                "network-layer/available",
                "the network layer",
                deployments,
                namespace,
            ),
        ],
    )
}
