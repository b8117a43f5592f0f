//! `vhive cri`, the kubelet's runtime on nodes with microVMs.

use crate::paths::VHIVE_CRI_SOCKET;
use crate::plan::{Action, Check, Command, Component, Step, Target, Undo};
use std::time::Duration;

const UNIT_FILE: &str = "/etc/systemd/system/vhive-cri.service";
const DEFAULTS: &str = "/etc/default/vhive-cri";

pub(super) fn component(target: &Target) -> Component {
    super::component(
        "vhive-cri",
        &["containerd", "firecracker"],
        vec![
            Step::new(
                "vhive-cri/folder",
                "the kubelet is told of a socket in it",
                Action::Run {
                    command: Command::line("mkdir -p /etc/vhive-cri"),
                    check: Check::Exists("/etc/vhive-cri".into()),
                    undo: Undo::By(Command::line(
                        "rm -rf /etc/vhive-cri /var/lib/vhive/cri/snapshots",
                    )),
                    recover: None,
                },
            ),
            Step::new(
                "vhive-cri/arguments",
                "what `vhive cri` is started with, to be changed by hand",
                Action::Write {
                    path: DEFAULTS.into(),
                    content: format!(
                        "# Arguments of `vhive cri`: -snapshots, -upf, -dbg and so on.\n\
                     VHIVE_CRI_ARGS=\"{}\"\n",
                        target.options.vhive_args
                    ),
                    mode: 0o644,
                },
            ),
            Step::new(
                "vhive-cri/unit-file",
                "it starts with the machine, and after a crash",
                Action::Write {
                    path: UNIT_FILE.into(),
                    content: include_str!("../../../../configs/systemd/vhive-cri.service")
                        .to_owned(),
                    mode: 0o644,
                },
            ),
            Step::new(
                "vhive-cri/unit",
                "it runs, and has read its arguments",
                Action::Unit {
                    name: "vhive-cri.service",
                    reads: vec![DEFAULTS.into(), UNIT_FILE.into()],
                },
            ),
            Step::new(
                "vhive-cri/socket",
                "the kubelet gives up on a runtime that does not answer",
                Action::Wait {
                    what: "vhive's CRI socket",
                    check: Check::Exists(VHIVE_CRI_SOCKET.into()),
                    timeout: Duration::from_secs(60),
                },
            ),
        ],
    )
}
