//! The kubelet: which runtime it speaks to, and by which address.

use crate::paths::{CONTAINERD_SOCKET, VHIVE_CRI_SOCKET};
use crate::plan::{Action, Component, Step, Target};
use crate::verb::Sandbox;

const DEFAULTS: &str = "/etc/default/kubelet";

/// The socket of the runtime that a worker's kubelet speaks to.
pub(super) fn worker_socket(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::Firecracker => VHIVE_CRI_SOCKET,
        Sandbox::StockOnly | Sandbox::Gvisor => CONTAINERD_SOCKET,
    }
}

/// On a node with functions.
pub(super) fn worker(target: &Target) -> Component {
    component(target, worker_socket(target.sandbox))
}

/// On a master, which has none: its runtime is always the stock one.
pub(super) fn master(target: &Target) -> Component {
    component(target, CONTAINERD_SOCKET)
}

fn component(target: &Target, socket: &str) -> Component {
    let verbosity = target.config.system.log_verbosity;
    let address = target.facts.node_ip;
    super::component(
        "kubelet",
        &["containerd", "vhive-cri"],
        vec![
            Step::new(
                "kubelet/arguments",
                "which runtime it speaks to; and a function's image may take minutes to come",
                Action::Write {
                    path: DEFAULTS.into(),
                    content: format!(
                        "KUBELET_EXTRA_ARGS=\"--v={verbosity} --runtime-request-timeout=15m --container-runtime-endpoint=unix://{socket} --node-ip {address}\"\n"
                    ),
                    mode: 0o644,
                },
            ),
            Step::new(
                "kubelet/unit",
                "it starts with the machine, and has read its arguments",
                Action::Unit {
                    name: "kubelet.service",
                    reads: vec![DEFAULTS.into()],
                },
            ),
        ],
    )
}
