//! Knative Serving, its domain, and the class that functions run in.

use crate::config::fill;
use crate::plan::{Action, Check, Command, Component, Step, Target};
use crate::verb::Sandbox;

use super::manifests::{applied, available, beside, fetched, folder, written};

pub(super) fn component(target: &Target) -> Component {
    let knative = &target.config.knative;
    let file = |name| {
        fill(
            &knative.knative_serving_url_template,
            &[&knative.knative_version, name],
        )
    };
    let (crds, core) = (file("serving-crds.yaml"), file("serving-core.yaml"));
    super::component(
        "serving",
        &["calico"],
        vec![
            fetched(
                "serving/crds-manifest",
                "the kinds of Knative Serving",
                "serving-crds",
                crds.clone(),
                beside(&crds),
            ),
            written(
                "serving/crds-overlay",
                "the manifest as it is",
                "serving-crds",
                "kustomization.yaml",
                "resources: [serving-crds.yaml]\n".to_owned(),
            ),
            applied(
                "serving/crds",
                "the kinds come before objects of them",
                "serving-crds",
            ),
            fetched(
                "serving/manifest",
                "Knative Serving itself",
                "serving",
                core.clone(),
                beside(&core),
            ),
            written(
                "serving/overlay",
                "the network layer, and the runtime class or the image that functions need",
                "serving",
                "kustomization.yaml",
                overlay(target),
            ),
            applied("serving/apply", "services become functions", "serving"),
            available(
                "serving/available",
                "Knative's webhook",
                "deploy/webhook",
                "knative-serving",
            ),
        ],
    )
}

fn overlay(target: &Target) -> String {
    let mut overlay = include_str!("../../../../configs/knative/kustomization.yaml").to_owned();
    let class = if target.options.kourier {
        "kourier.ingress.networking.knative.dev"
    } else {
        "istio.ingress.networking.knative.dev"
    };
    overlay = overlay.replace("INGRESS_CLASS", class);
    if compat(target) {
        let patch = include_str!("../../../../configs/knative/queue-proxy.yaml");
        overlay.push_str(&patch.replace(
            "QUEUE_PROXY_IMAGE",
            &target.config.knative.queue_proxy_image,
        ));
    } else if target.sandbox != Sandbox::StockOnly {
        overlay.push_str(include_str!(
            "../../../../configs/knative/runtime-class.yaml"
        ));
    }
    overlay
}

/// Whether functions are told by the image of their queue-proxy.
fn compat(target: &Target) -> bool {
    target.options.compat && target.sandbox == Sandbox::Firecracker
}

/// Names for functions without a name server.
pub(super) fn domain(target: &Target) -> Component {
    let knative = &target.config.knative;
    let url = fill(
        &knative.knative_serving_url_template,
        &[&knative.knative_version, "serving-default-domain.yaml"],
    );
    let published = beside(&url);
    let shown = "-n knative-serving get configmap config-domain -o jsonpath={.data}";
    super::component(
        "domain",
        &["network-layer"],
        vec![
            fetched(
                "domain/manifest",
                "a job that finds the ingress's address, and names functions under it",
                "domain",
                url,
                published,
            ),
            written(
                "domain/overlay",
                "the manifest as it is",
                "domain",
                "kustomization.yaml",
                "resources: [serving-default-domain.yaml]\n".to_owned(),
            ),
            Step::new(
                "domain/apply",
                "names under sslip.io carry their address: no name server is needed",
                Action::Apply {
                    folder: folder("domain"),
                    // The job is removed some time after it has ended: it is no sign.
                    check: Some(Check::Prints {
                        command: Command::kubectl(shown),
                        text: "sslip.io".to_owned(),
                    }),
                },
            ),
        ],
    )
}

/// The class of functions, where the sandbox has one.
pub(super) fn runtime_class(target: &Target) -> Option<Component> {
    let class = match target.sandbox {
        Sandbox::Gvisor => include_str!("../../../../configs/gvisor/runtimeclass.yaml"),
        Sandbox::Firecracker if !compat(target) => {
            include_str!("../../../../configs/firecracker/runtimeclass.yaml")
        }
        _ => return None,
    };
    Some(super::component(
        "class",
        &["cluster", "alone", "joined"],
        vec![
            written(
                "class/manifest",
                "the name by which pods ask for the sandbox",
                "class",
                "runtimeclass.yaml",
                class.to_owned(),
            ),
            written(
                "class/overlay",
                "the manifest as it is",
                "class",
                "kustomization.yaml",
                "resources: [runtimeclass.yaml]\n".to_owned(),
            ),
            applied("class/apply", "functions say runtimeClassName", "class"),
        ],
    ))
}
