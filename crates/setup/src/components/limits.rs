//! What processes may take.

use std::fmt::Write as _;

use crate::plan::{Action, Component, Step};

/// Values of the original's script.
const LIMITS: [(&str, u32); 3] = [
    ("nofile", 1_000_000),
    ("nproc", 4_000_000),
    ("stack", 65_536),
];

pub(super) fn component() -> Component {
    let mut content = "# Written by vhive setup: thousands of microVMs on one node.\n".to_owned();
    for (item, value) in LIMITS {
        // `*` does not mean root: limits.conf(5).
        for who in ["*", "root"] {
            for kind in ["soft", "hard"] {
                let _ = writeln!(content, "{who} {kind} {item} {value}");
            }
        }
    }
    super::component(
        "limits",
        &[],
        vec![Step::new(
            "limits/file",
            "each microVM takes files and processes: the usual 1024 end at some fifty of them",
            Action::Write {
                path: "/etc/security/limits.d/90-vhive.conf".into(),
                content,
                mode: 0o644,
            },
        )],
    )
}
