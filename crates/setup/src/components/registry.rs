//! A registry in the cluster.

use crate::plan::{Component, Target};

use super::manifests::{applied, available, written};

pub(super) fn component(target: &Target) -> Component {
    let size = &target.config.knative.local_registry_repo_volume_size;
    let manifest = include_str!("../../../../configs/registry/registry.yaml");
    super::component(
        "registry",
        &["calico"],
        vec![
            written(
                "registry/manifest",
                "images that are nobody else's business",
                "registry",
                "registry.yaml",
                manifest.replace("VOLUME_SIZE", size),
            ),
            written(
                "registry/overlay",
                "the manifest as it is",
                "registry",
                "kustomization.yaml",
                "resources: [registry.yaml]\n".to_owned(),
            ),
            applied(
                "registry/apply",
                "images that are nobody else's business",
                "registry",
            ),
            available(
                "registry/available",
                "the registry",
                "deploy/docker-registry",
                "registry",
            ),
        ],
    )
}
