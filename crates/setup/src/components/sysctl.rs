//! Kernel modules and settings.

use std::fmt::Write as _;

use crate::plan::{Action, Check, Command, Component, Step, Undo};

const SETTINGS: [(&str, &str, &str); 10] = [
    (
        "net.ipv4.ip_forward",
        "1",
        "pods are reached through the node",
    ),
    ("net.ipv4.conf.all.forwarding", "1", ""),
    (
        "net.bridge.bridge-nf-call-iptables",
        "1",
        "kube-proxy sees what goes over bridges",
    ),
    ("net.bridge.bridge-nf-call-ip6tables", "1", ""),
    (
        "net.ipv4.neigh.default.gc_thresh1",
        "1024",
        "a neighbour for each microVM: else \"neighbor table overflow\"",
    ),
    ("net.ipv4.neigh.default.gc_thresh2", "2048", ""),
    ("net.ipv4.neigh.default.gc_thresh3", "4096", ""),
    (
        "net.ipv4.ip_local_port_range",
        "32769\t65535",
        "above Kubernetes' node ports",
    ),
    (
        "kernel.pid_max",
        "4194303",
        "a process for each microVM, and threads in it",
    ),
    ("kernel.threads-max", "999999999", ""),
];

pub(super) fn component() -> Component {
    super::component(
        "sysctl",
        &["packages"],
        vec![
            Step::new(
                "sysctl/modules-at-boot",
                "bridges and containers need modules that a plain boot does not load",
                Action::Write {
                    path: "/etc/modules-load.d/vhive.conf".into(),
                    content: "# Written by vhive setup.\nbr_netfilter\noverlay\n".to_owned(),
                    mode: 0o644,
                },
            ),
            module("sysctl/br-netfilter", "br_netfilter"),
            module("sysctl/overlay", "overlay"),
            Step::new(
                "sysctl/settings-at-boot",
                "forwarding between pods, and room for many microVMs",
                Action::Write {
                    path: "/etc/sysctl.d/90-vhive.conf".into(),
                    content: file(),
                    mode: 0o644,
                },
            ),
            Step::new(
                "sysctl/settings",
                "the same, now; the kernel may bound threads-max by its memory",
                Action::Run {
                    command: Command::line("sysctl --quiet -p /etc/sysctl.d/90-vhive.conf"),
                    check: Check::Prints {
                        command: Command::line(
                            "sysctl -n net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables net.ipv4.neigh.default.gc_thresh3 kernel.pid_max",
                        ),
                        text: "1\n1\n4096\n4194303".to_owned(),
                    },
                    undo: Undo::Nothing,
                    recover: None,
                },
            ),
        ],
    )
}

fn module(step: &'static str, module: &str) -> Step {
    Step::new(
        step,
        "the same, now",
        Action::Run {
            command: Command::words(["modprobe", module]),
            check: Check::Exists(format!("/sys/module/{module}").into()),
            undo: Undo::Nothing,
            recover: None,
        },
    )
}

fn file() -> String {
    let mut content = "# Written by vhive setup.\n".to_owned();
    for (name, value, why) in SETTINGS {
        if !why.is_empty() {
            let _ = writeln!(content, "# {why}");
        }
        let _ = writeln!(content, "{name} = {value}");
    }
    content
}
