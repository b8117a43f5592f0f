//! kn, Knative's command line.

use crate::config::fill;
use crate::plan::{Action, Component, Fetch, Fetched, Published, Step, Target};

pub(super) fn component(target: &Target) -> Component {
    let knative = &target.config.knative;
    let arch = target.facts.architecture.debian();
    let url = fill(
        &knative.knative_cli_download_url_template,
        &[&knative.knative_cli_version, arch],
    );
    let folder = url.rsplit_once('/').map_or("", |(folder, _)| folder);
    super::component(
        "kn",
        &["packages", "stock-packages"],
        vec![Step::new(
            "kn/binary",
            "functions are deployed by it",
            Action::Fetch(Fetch {
                published: Published::At(format!("{folder}/checksums.txt")),
                url,
                files: vec![Fetched {
                    member: None,
                    to: "/usr/local/bin/kn".into(),
                    mode: 0o755,
                }],
            }),
        )],
    )
}
