//! The kernel's command line.

use std::fmt::Write;

use crate::Accel;

/// For every machine. No output but for the worst: each line costs time on an emulated serial port. `reboot=t` ends the
/// machine by a triple fault, which every hypervisor understands; `panic=-1` does so at once.
const ALWAYS: &str = "console=ttyS0 quiet loglevel=1 reboot=t panic=-1 random.trust_cpu=on rdinit=/init tsc=reliable";

/// What the kernel would else measure at every boot, for some tenths of a second under emulation: how fast its clock and its
/// delay loop are.
pub(super) fn of(accel: Accel, extra: &str) -> String {
    let mut line = ALWAYS.to_owned();
    if accel == Accel::Tcg
        && let Some(khz) = clock_khz()
    {
        // Writing to a String cannot fail.
        let _ = write!(line, " tsc_early_khz={khz} lpj=8000000");
    }
    if !extra.is_empty() {
        line.push(' ');
        line.push_str(extra);
    }
    line
}

/// The host's clock, which the guest's time-stamp counter follows.
fn clock_khz() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    let mhz: f64 = line.split(':').nth(1)?.trim().parse().ok()?;
    Some((mhz * 1000.0) as u64)
}
