//! gVisor: runsc, its shim, and its place in containerd.

use crate::config::fill;
use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};

use super::containerd;

pub(super) fn component(target: &Target) -> Component {
    let system = &target.config.system;
    let arch = target.facts.architecture.kernel();
    let words = [system.runsc_version.as_str(), arch];
    let binary = |step, why, template: &str, name: &str| {
        let url = fill(template, &words);
        Step::new(
            step,
            why,
            Action::Fetch(Fetch {
                published: Published::At(format!("{url}.sha512")),
                url,
                files: vec![Fetched {
                    member: None,
                    to: format!("/usr/local/bin/{name}").into(),
                    mode: 0o755,
                }],
            }),
        )
    };
    let mut steps = vec![
        binary(
            "gvisor/runsc",
            "functions run in its kernel",
            &system.runsc_download_url_template,
            "runsc",
        ),
        binary(
            "gvisor/shim",
            "containerd starts runsc by it",
            &system.runsc_containerd_shim_download_url_template,
            "containerd-shim-runsc-v1",
        ),
    ];
    steps.extend(containerd::with_part(
        [
            "gvisor/base",
            "gvisor/part",
            "gvisor/config",
            "gvisor/containerd",
        ],
        "containerd knows a runtime of that name",
        "gvisor.toml",
        include_str!("../../../../configs/gvisor/config.toml"),
    ));
    super::component("gvisor", &["containerd"], steps)
}
