//! Upgrades that come by themselves.

use crate::plan::{Action, Component, Step};

pub(super) fn component() -> Component {
    super::component(
        "upgrades",
        &[],
        vec![Step::new(
            "upgrades/off",
            "an upgrade that comes by itself restarts containerd under running functions, and holds apt's lock",
            Action::Write {
                path: "/etc/apt/apt.conf.d/99-vhive-no-upgrades".into(),
                content: "// Written by vhive setup. Later files win, and this is the last.\n\
                          APT::Periodic::Update-Package-Lists \"0\";\n\
                          APT::Periodic::Unattended-Upgrade \"0\";\n"
                    .to_owned(),
                mode: 0o644,
            },
        )],
    )
}
