//! Firecracker, what microVMs run in until `vhive cri` drives it, and the guest kernel.

use crate::config::fill;
use crate::plan::{
    Action, Check, Command, Component, Fetch, Fetched, Published, Step, Target, Undo,
};

pub(super) fn component(target: &Target) -> Component {
    let vhive = &target.config.vhive;
    let version = vhive.firecracker_version.as_str();
    let arch = target.facts.architecture.kernel();
    let url = fill(
        &vhive.firecracker_download_url_template,
        &[version, version, arch],
    );
    super::component("firecracker", &["packages"], vec![
        Step::new(
            "firecracker/binaries",
            "functions run in its microVMs; the jailer takes their privileges away",
            Action::Fetch(Fetch {
                published: Published::At(format!("{url}.sha256.txt")),
                url,
                files: ["firecracker", "jailer"]
                    .iter()
                    .map(|name| Fetched {
                        member: Some(format!("release-v{version}-{arch}/{name}-v{version}-{arch}")),
                        to: format!("/usr/local/bin/{name}").into(),
                        mode: 0o755,
                    })
                    .collect(),
            }),
        ),
        Step::new(
            "firecracker/qemu",
            "`vhive cri` runs its microVMs in it: it does not drive Firecracker yet",
            Action::Packages {
                names: vec!["qemu-system-x86".to_owned()],
                hold: false,
            },
        ),
        Step::new(
            "firecracker/vhive",
            "the node runs the program that set it up",
            Action::Copy {
                from: target.facts.program.clone(),
                to: "/usr/local/bin/vhive".into(),
                mode: 0o755,
                owner: None,
            },
        ),
        Step::new(
            "firecracker/firecracker-containerd",
            "a script that starts it, as vHive's guide does, ends well: vhive needs no second containerd",
            Action::Write {
                path: "/usr/local/bin/firecracker-containerd".into(),
                content: "#!/bin/sh\n# Written by vhive setup.\necho 'vhive runs microVMs itself: there is no firecracker-containerd to start'\n".to_owned(),
                mode: 0o755,
            },
        ),
        Step::new(
            "firecracker/kernel",
            "guests boot the distribution's kernel, taken out of its package",
            Action::Run {
                command: Command::line("vhive kernel fetch"),
                check: Check::Prints {
                    command: Command::line("vhive kernel ls"),
                    text: "linux".to_owned(),
                },
                undo: Undo::Nothing,
                recover: None,
            },
        ),
    ])
}
