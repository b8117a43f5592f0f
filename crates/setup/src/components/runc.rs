//! runc, which starts containers.

use crate::config::fill;
use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};

pub(super) fn component(target: &Target) -> Component {
    let system = &target.config.system;
    let arch = target.facts.architecture.debian();
    let url = fill(
        &system.runc_download_url_template,
        &[&system.runc_version, arch],
    );
    let list = url.rsplit_once('/').map_or("", |(folder, _)| folder);
    super::component(
        "runc",
        &["packages", "stock-packages"],
        vec![Step::new(
            "runc/binary",
            "containerd starts containers by it; the distribution's is older than containerd asks for",
            Action::Fetch(Fetch {
                published: Published::At(format!("{list}/runc.sha256sum")),
                url,
                files: vec![Fetched {
                    member: None,
                    to: "/usr/local/sbin/runc".into(),
                    mode: 0o755,
                }],
            }),
        )],
    )
}
