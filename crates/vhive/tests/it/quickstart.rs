//! The first command of the README.

use crate::machine::{ANY_PORT, Machine, said, vhive};

#[test]
fn quickstart_answers_cold_and_warm_twice_and_leaves_nothing_running() {
    let machine = Machine::new();
    for round in ["first", "second"] {
        let output = vhive()
            .arg("--data-dir")
            .arg(machine.data_dir())
            .args(["quickstart", "--yes", "--warm", "20", "--ingress", ANY_PORT])
            .output()
            .expect("vhive starts");
        let text = said(&output);
        assert!(output.status.success(), "{round}: {text}");
        assert!(text.contains("Hello, world!"), "{round}: {text}");
        for phase in [
            "queue",
            "network",
            "hypervisor",
            "boot",
            "agent",
            "function",
            "first-byte",
            "total",
        ] {
            assert!(
                text.lines().any(|line| line.starts_with(phase)),
                "{round}: no {phase} in {text}"
            );
        }
        assert!(text.contains("Warm, 20 requests: p50"), "{round}: {text}");
        assert!(
            text.contains("Cold start from its snapshot"),
            "{round}: {text}"
        );
        for phase in ["pool", "bind", "load", "resume"] {
            assert!(
                text.lines().any(|line| line.starts_with(phase)),
                "{round}: no {phase} in {text}"
            );
        }
        assert_eq!(machine.leftovers(), Vec::<String>::new(), "{round}");
    }
}
