//! Swap.

use crate::plan::{Action, Check, Command, Component, Step, Undo};

pub(super) fn component() -> Component {
    super::component(
        "swap",
        &[],
        vec![
            // Undone the other way round: fstab has its lines again before `swapon` reads it.
            Step::new(
                "swap/off",
                "the kubelet refuses to start on a node that swaps",
                Action::Run {
                    command: Command::line("swapoff -a"),
                    check: Check::PrintsNot {
                        command: Command::line("swapon --noheadings --show=NAME"),
                        text: "/".to_owned(),
                    },
                    undo: Undo::By(Command::line("swapon -a")),
                    recover: None,
                },
            ),
            Step::new(
                "swap/at-boot",
                "the same, after a restart",
                Action::CommentOut {
                    path: "/etc/fstab".into(),
                    field: "swap",
                },
            ),
        ],
    )
}
