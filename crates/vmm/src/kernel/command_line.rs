//! The kernel's command line: what makes it reach its first process soonest, each option with its reason.
//!
//! docs/guest-kernel.md has what each was measured to bring. The options are those of Linux,
//! Documentation/admin-guide/kernel-parameters.txt.

use crate::Accel;

/// For every machine.
const ALWAYS: &[&str] = &[
    // Each line of output costs time on a serial port; only what kills the guest is worth it.
    "console=ttyS0",
    "quiet",
    "loglevel=1",
    // A guest that panics ends its machine, at once and by a triple fault, which every hypervisor understands.
    "panic=-1",
    "reboot=t",
    "rdinit=/init",
    "random.trust_cpu=on",
    // The kernel tests its ciphers at every boot, RSA and all. A guest's kernel is the same each time.
    "cryptomgr.notests",
];

/// Work at boot that nothing in a guest waits for. A name that a kernel does not know is passed over.
const SKIPPED: &[&str] = &[
    // Makes thousands of files in tracefs. Tracing a guest's kernel is what is given up.
    "tracer_init_tracefs",
    "init_kprobe_trace",
    "trace_eval_init",
    // Looks every traceable function up by name.
    "ftrace_check_for_weak_functions",
    // A self-test that `cryptomgr.notests` does not reach.
    "crypto_kdf108_init",
    // Checks the distribution's keys. The modules come without their signatures.
    "load_system_certificate_list",
];

/// What costs time only where every instruction is emulated.
const EMULATED: &[&str] = &[
    // With one processor the kernel takes the lock prefixes out of its code, one place after the other.
    "noreplace-smp",
    // Memory that QEMU hands out is zero already; what the guest frees stays the guest's.
    "init_on_alloc=0",
];

/// The command line for a machine run by `accel`; `extra` is appended.
pub(super) fn of(accel: Accel, extra: &str) -> String {
    let tsc_khz = match accel {
        Accel::Tcg => sys::tsc::khz(),
        // A paravirtual clock tells the guest.
        Accel::Kvm => None,
    };
    line(accel, tsc_khz, extra)
}

fn line(accel: Accel, tsc_khz: Option<u64>, extra: &str) -> String {
    let mut options: Vec<String> = ALWAYS.iter().map(|&option| option.to_owned()).collect();
    options.push(format!("initcall_blacklist={}", SKIPPED.join(",")));
    if accel == Accel::Tcg {
        options.extend(EMULATED.iter().map(|&option| option.to_owned()));
    }
    if let Some(khz) = tsc_khz {
        // An emulated guest reads the host's counter. Measuring it against the emulated timer fails on a busy
        // host, and a kernel without a clock then waits for ever for a tick to measure its delay loop by.
        options.push(format!("tsc_early_khz={khz}"));
        options.push("tsc=reliable".to_owned());
    }
    if !extra.is_empty() {
        options.push(extra.to_owned());
    }
    options.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel takes in (`COMMAND_LINE_SIZE` of x86).
    const LONGEST: usize = 2048;

    fn has(line: &str, option: &str) -> bool {
        line.split(' ').any(|it| it == option)
    }

    #[test]
    fn an_emulated_guest_is_told_its_clock() {
        let line = line(Accel::Tcg, Some(2_299_998), "");
        assert!(has(&line, "tsc_early_khz=2299998") && has(&line, "tsc=reliable"));
    }

    #[test]
    fn a_clock_that_is_not_known_is_not_called_reliable() {
        let line = line(Accel::Tcg, None, "");
        assert!(!line.contains("tsc"), "{line}");
    }

    #[test]
    fn on_kvm_the_kernel_keeps_its_hardening() {
        let line = of(Accel::Kvm, "");
        for option in EMULATED {
            assert!(!has(&line, option), "{line}");
        }
        assert!(!line.contains("tsc"), "{line}");
    }

    #[test]
    fn what_the_caller_adds_comes_last_and_so_wins() {
        let line = line(Accel::Kvm, None, "loglevel=7 rdinit=/none");
        assert!(line.ends_with(" loglevel=7 rdinit=/none"));
    }

    #[test]
    fn the_kernel_takes_all_of_it() {
        assert!(line(Accel::Tcg, Some(u64::MAX), "").len() < LONGEST / 2);
    }
}
