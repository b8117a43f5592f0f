//! eStargz: images that are pulled as they are read.

use crate::config::fill;
use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};
use crate::verb::Sandbox;

use super::containerd;

const UNIT_FILE: &str = "/etc/systemd/system/stargz-snapshotter.service";
const CONFIG: &str = "/etc/containerd-stargz-grpc/config.toml";

pub(super) fn component(target: &Target) -> Component {
    let vhive = &target.config.vhive;
    let version = vhive.stargz_version.as_str();
    let arch = target.facts.architecture.debian();
    let url = fill(
        &vhive.stargz_download_url_template,
        &[version, version, arch],
    );
    let files = ["containerd-stargz-grpc", "ctr-remote"];
    let mut steps = vec![
        Step::new(
            "stargz/binaries",
            "the snapshotter, and ctr-remote, which converts images",
            Action::Fetch(Fetch {
                published: Published::At(format!("{url}.sha256sum")),
                url,
                files: files
                    .iter()
                    .map(|name| Fetched {
                        member: Some((*name).to_owned()),
                        to: format!("/usr/local/bin/{name}").into(),
                        mode: 0o755,
                    })
                    .collect(),
            }),
        ),
        Step::new(
            "stargz/packages",
            "what is not there yet is read through a file system in user space",
            Action::Packages {
                names: vec!["fuse3".to_owned()],
                hold: false,
            },
        ),
        Step::new(
            "stargz/settings",
            "the snapshotter fetches images with the kubelet's credentials",
            Action::Write {
                path: CONFIG.into(),
                content: include_str!("../../../../configs/stargz/snapshotter.toml").to_owned(),
                mode: 0o644,
            },
        ),
        Step::new(
            "stargz/unit-file",
            "it starts before containerd, which asks it for every image",
            Action::Write {
                path: UNIT_FILE.into(),
                content: include_str!("../../../../configs/systemd/stargz-snapshotter.service")
                    .to_owned(),
                mode: 0o644,
            },
        ),
        Step::new(
            "stargz/unit",
            "it runs, and has read its configuration",
            Action::Unit {
                name: "stargz-snapshotter.service",
                reads: vec![CONFIG.into(), UNIT_FILE.into()],
            },
        ),
    ];
    // vhive reads eStargz itself: the snapshotter serves stock containers.
    let part = if target.sandbox == Sandbox::Firecracker {
        include_str!("../../../../configs/stargz/proxy.toml")
    } else {
        include_str!("../../../../configs/stargz/config.toml")
    };
    steps.extend(containerd::with_part(
        [
            "stargz/base",
            "stargz/part",
            "stargz/config",
            "stargz/containerd",
        ],
        "containerd knows the snapshotter",
        "stargz.toml",
        part,
    ));
    super::component("stargz", &["containerd", "packages", "gvisor"], steps)
}
