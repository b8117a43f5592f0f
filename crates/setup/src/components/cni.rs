//! CNI plugins, by which pods get a network.

use crate::config::fill;
use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};

/// Those that Calico and plain pods use.
const PLUGINS: [&str; 7] = [
    "bandwidth",
    "bridge",
    "host-local",
    "loopback",
    "portmap",
    "ptp",
    "tuning",
];

pub(super) fn component(target: &Target) -> Component {
    let system = &target.config.system;
    let version = system.cni_plugins_version.as_str();
    let arch = target.facts.architecture.debian();
    let url = fill(
        &system.cni_plugins_download_url_template,
        &[version, arch, version],
    );
    super::component(
        "cni",
        // kubelet's packages bring plugins of their own: these come over them, and not the other way round.
        &["kubernetes"],
        vec![Step::new(
            "cni/plugins",
            "pods get their network by these",
            Action::Fetch(Fetch {
                published: Published::At(format!("{url}.sha256")),
                url,
                files: PLUGINS
                    .iter()
                    .map(|name| Fetched {
                        member: Some((*name).to_owned()),
                        to: format!("/opt/cni/bin/{name}").into(),
                        mode: 0o755,
                    })
                    .collect(),
            }),
        )],
    )
}
