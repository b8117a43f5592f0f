//! What this host offers: what a node needs of it, looked at and, where it may be, mended.

pub(crate) mod checks;
pub(crate) mod packages;
pub(crate) mod users;

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use sys::kvm::{self, Verdict};
use vmm::Accel;

use crate::cli::AccelChoice;
use crate::exit::{Code, Failure, Outcome};

/// Longest time that the probe of KVM may take.
const PROBE_DEADLINE: Duration = Duration::from_millis(500);

/// How guests will run here. KVM is used only after it was measured to work: some hosts offer it and then emulate every
/// instruction.
pub(crate) fn accel(choice: AccelChoice) -> Outcome<Accel> {
    if choice == AccelChoice::Tcg {
        return Ok(Accel::Tcg);
    }
    let probe = kvm::probe(PROBE_DEADLINE);
    match (choice, probe.verdict) {
        (_, Verdict::Works) => Ok(Accel::Kvm),
        (AccelChoice::Kvm, verdict) => Err(Failure::new(
            Code::Failed,
            anyhow!("--accel kvm: {verdict}"),
        )
        .hint("use --accel auto: guests then run under emulation, more slowly")),
        _ => Ok(Accel::Tcg),
    }
}

/// Fails unless the process may make namespaces, taps and mounts.
pub(crate) fn require_root() -> Outcome {
    if checks::is_root() {
        return Ok(());
    }
    Err(Failure::new(
        Code::Failed,
        anyhow!("a node makes network namespaces and needs root"),
    )
    .hint("run it with sudo"))
}

/// Makes the data directory. What in it is nobody else's business is closed where it is made.
pub(crate) fn make_data_dir(path: &Path) -> Outcome {
    std::fs::create_dir_all(path).map_err(|error| {
        Failure::new(
            Code::Failed,
            anyhow!(error).context(format!("cannot make the data directory {}", path.display())),
        )
        .hint("name another with --data-dir")
    })
}
