//! NVIDIA's container toolkit. The driver is the distribution's or the owner's business: it has to fit the kernel that runs.

use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};

use super::containerd;

const KEY: &str = "/etc/apt/keyrings/nvidia.asc";
const REPOSITORY: &str = "https://nvidia.github.io/libnvidia-container";

pub(super) fn component(target: &Target) -> Component {
    let arch = target.facts.architecture.debian();
    let mut steps = vec![
        Step::new(
            "nvidia/key",
            "apt takes packages only from whom it knows",
            Action::Fetch(Fetch {
                url: format!("{REPOSITORY}/gpgkey"),
                published: Published::Nowhere,
                files: vec![Fetched {
                    member: None,
                    to: KEY.into(),
                    mode: 0o644,
                }],
            }),
        ),
        Step::new(
            "nvidia/repository",
            "no distribution has the toolkit",
            Action::Write {
                path: "/etc/apt/sources.list.d/nvidia.list".into(),
                content: format!(
                    "# Written by vhive setup.\ndeb [signed-by={KEY}] {REPOSITORY}/stable/deb/{arch} /\n"
                ),
                mode: 0o644,
            },
        ),
        Step::new(
            "nvidia/packages",
            "containers see the processors of the card by it",
            Action::Packages {
                names: vec!["nvidia-container-toolkit".to_owned()],
                hold: false,
            },
        ),
    ];
    steps.extend(containerd::with_part(
        [
            "nvidia/base",
            "nvidia/part",
            "nvidia/config",
            "nvidia/containerd",
        ],
        "containerd knows a runtime of that name",
        "nvidia.toml",
        include_str!("../../../../configs/gpu/config.toml"),
    ));
    super::component("nvidia", &[], steps)
}
