//! The probe on whatever machine this is.

use std::path::Path;
use std::time::Duration;

use sys::kvm::{Verdict, probe};

#[test]
fn the_probe_says_what_this_machine_has_and_keeps_its_rate_with_its_verdict() {
    let probe = probe(Duration::from_secs(1));
    match probe.verdict {
        Verdict::Works => assert!(probe.iterations_per_us.unwrap() >= 50.0, "{probe:?}"),
        Verdict::Emulated => assert!(
            probe.iterations_per_us.is_none_or(|rate| rate < 50.0),
            "{probe:?}"
        ),
        Verdict::Absent { reason } => assert!(
            !Path::new("/dev/kvm").exists() || reason.contains("nothing behind it"),
            "{reason}"
        ),
        Verdict::Denied { .. } => {
            // Root is denied nothing.
            assert!(!rustix::process::geteuid().is_root(), "{probe:?}");
        }
        // On a machine that has KVM, the guest must run: a broken verdict is a broken guest.
        Verdict::Broken { reason } => panic!("{reason}"),
    }
}

#[test]
fn two_probes_at_once_do_not_disturb_each_other() {
    let verdicts = std::thread::scope(|scope| {
        let probes = [(); 2].map(|()| scope.spawn(|| probe(Duration::from_secs(2)).verdict));
        probes.map(|probe| probe.join().unwrap())
    });
    assert_eq!(verdicts[0], verdicts[1]);
}
