//! Images of a bundle, put where the kubelet finds them.

use crate::paths::BUNDLE;
use crate::plan::{Action, Check, Command, Component, Step, Target, Undo};

pub(super) fn component(target: &Target) -> Component {
    let steps = target.options.images.iter().map(|(name, file)| Step {
        name: format!("images/{name}"),
        why: "without a network nothing is pulled",
        action: Action::Run {
            command: Command::words([
                "ctr".to_owned(),
                "--namespace=k8s.io".to_owned(),
                "images".to_owned(),
                "import".to_owned(),
                format!("--index-name={name}"),
                format!("{BUNDLE}/images/{file}"),
            ]),
            check: Check::Prints {
                command: Command::line("ctr --namespace=k8s.io images ls -q"),
                text: format!("{name}\n"),
            },
            undo: Undo::By(Command::words([
                "ctr",
                "--namespace=k8s.io",
                "images",
                "rm",
                name,
            ])),
            recover: None,
        },
    });
    super::component(
        "images",
        &["containerd", "gvisor", "stargz"],
        steps.collect(),
    )
}
