//! pmu-tools, which count what processors do.

use crate::facts::Family;
use crate::plan::{Action, Check, Command, Component, Step, Target, Undo};

const FOLDER: &str = "/usr/local/pmu-tools";

pub(super) fn component(target: &Target) -> Component {
    let perf = match target.facts.distribution.family {
        Family::Debian => "linux-perf".to_owned(),
        Family::Ubuntu => format!("linux-tools-{}", target.facts.kernel),
    };
    let url = &target.config.system.pmu_tools_repo_url;
    super::component(
        "pmutools",
        &[],
        vec![
            Step::new(
                "pmutools/packages",
                "toplev counts by perf",
                Action::Packages {
                    names: vec![
                        "git".to_owned(),
                        "numactl".to_owned(),
                        "python3".to_owned(),
                        perf,
                    ],
                    hold: false,
                },
            ),
            Step::new(
                "pmutools/setting-at-boot",
                "everybody may count",
                Action::Write {
                    path: "/etc/sysctl.d/90-vhive-perf.conf".into(),
                    content: "# Written by vhive setup.\nkernel.perf_event_paranoid = -1\n"
                        .to_owned(),
                    mode: 0o644,
                },
            ),
            Step::new(
                "pmutools/setting",
                "the same, now",
                Action::Run {
                    command: Command::line("sysctl --quiet -p /etc/sysctl.d/90-vhive-perf.conf"),
                    check: Check::Prints {
                        command: Command::line("sysctl -n kernel.perf_event_paranoid"),
                        text: "-1".to_owned(),
                    },
                    undo: Undo::Nothing,
                    recover: None,
                },
            ),
            Step::new(
                "pmutools/clone",
                "the tools themselves",
                Action::Run {
                    command: Command::words(["git", "clone", "--depth", "1", url, FOLDER]),
                    check: Check::Exists(format!("{FOLDER}/toplev.py").into()),
                    undo: Undo::By(Command::words(["rm", "-rf", FOLDER])),
                    recover: Some(Command::words(["rm", "-rf", FOLDER])),
                },
            ),
        ],
    )
}
