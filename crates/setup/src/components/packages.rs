//! Packages of the distribution.

use crate::facts::Family;
use crate::plan::{Action, Check, Command, Component, Step, Target, Undo};

pub(super) fn component(target: &Target) -> Component {
    let mut steps = Vec::new();
    if target.facts.distribution.family == Family::Ubuntu {
        steps.push(Step::new(
            "packages/repositories",
            "add-apt-repository adds the component that has ipvsadm and others",
            Action::Packages {
                names: vec!["software-properties-common".to_owned()],
                hold: false,
            },
        ));
        steps.push(Step::new(
            "packages/universe",
            "ipvsadm and others are in Ubuntu's universe, which minimal images leave out",
            Action::Run {
                command: Command::line("add-apt-repository -y universe"),
                check: Check::Succeeds(Command::line("apt-cache show ipvsadm")),
                undo: Undo::Nothing,
                recover: None,
            },
        ));
    }
    steps.push(Step::new(
        "packages/tools",
        "downloads, file permissions, networks, and screen for those who use it",
        packages(&[
            "curl",
            "ca-certificates",
            "gnupg",
            "acl",
            "net-tools",
            "jq",
            "iproute2",
            "nftables",
            "procps",
            "kmod",
            "screen",
        ]),
    ));
    super::component("packages", &["upgrades"], steps)
}

/// What kubelet and kube-proxy call.
pub(super) fn stock() -> Component {
    super::component(
        "stock-packages",
        &["packages"],
        vec![Step::new(
            "stock-packages/tools",
            "kubeadm's preflight and kube-proxy call these",
            packages(&[
                "curl",
                "ca-certificates",
                "gnupg",
                "conntrack",
                "ebtables",
                "ethtool",
                "iptables",
                "ipvsadm",
                "socat",
                "util-linux",
                "apparmor",
            ]),
        )],
    )
}

fn packages(names: &[&str]) -> Action {
    Action::Packages {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        hold: false,
    }
}
