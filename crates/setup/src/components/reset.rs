//! Taking a cluster, or the functions of a node, away.

use crate::paths::ADMIN_CONF;
use crate::plan::{Action, Check, Command, Component, Step, Target, Undo};

use super::kubelet;

/// What a cluster leaves behind, and what removes it.
pub(crate) struct Leftover {
    pub(crate) what: &'static str,
    /// For the shell.
    pub(crate) line: &'static str,
}

/// kubeadm leaves networks alone: they are the plugin's.
pub(crate) const LEFTOVERS: [Leftover; 2] = [
    Leftover {
        what: "links of pods",
        line: "for link in $(ip -o link show | sed -n 's/^[0-9]*: \\(cali[^:@]*\\|vxlan[.]calico\\|tunl0\\|cni0\\)[:@].*/\\1/p'); do ip link delete \"$link\"; done",
    },
    Leftover {
        what: "networks of pods",
        line: "rm -rf /var/lib/cni /var/lib/calico /etc/cni/net.d/10-calico.conflist /etc/cni/net.d/calico-kubeconfig",
    },
];

/// No cluster is left on this node.
pub(super) fn cluster(target: &Target) -> Component {
    let socket = kubelet::worker_socket(target.sandbox);
    let mut commands = vec![format!("kubeadm reset -f --cri-socket unix://{socket}")];
    commands.extend(LEFTOVERS.iter().map(|left| left.line.to_owned()));
    super::component(
        "reset",
        &[],
        vec![Step::new(
            "reset/cluster",
            "the cluster that is created next finds no remains of one before",
            Action::Run {
                command: Command::shell(&commands.join("\n")),
                check: Check::Absent(ADMIN_CONF.into()),
                undo: Undo::Nothing,
                recover: None,
            },
        )],
    )
}

/// No function is left on this node.
pub(super) fn functions() -> Component {
    super::component(
        "functions",
        &[],
        vec![Step::new(
            "functions/remove",
            "what was saved of functions is made anew when they run again; what still runs goes with its service",
            Action::Run {
                command: Command::shell(
                    "systemctl stop vhive-cri.service; rm -rf /var/lib/vhive/cri/snapshots; systemctl start vhive-cri.service",
                ),
                check: Check::Absent("/var/lib/vhive/cri/snapshots".into()),
                undo: Undo::Nothing,
                recover: None,
            },
        )],
    )
}
