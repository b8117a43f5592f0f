//! How fast this host's time-stamp counter counts.
//!
//! A guest that is emulated reads the host's counter, and has to know its rate. Left alone it measures it
//! against an emulated timer, which on a busy host goes wrong. `/proc/cpuinfo` does not help: its `cpu MHz` is
//! what the core runs at now, not what the counter counts at.

use std::arch::x86_64::_rdtsc;
use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Readings are good to some 50 ns; over this time that is a few millionths.
const BASELINE: Duration = Duration::from_millis(20);

/// The counter's rate in kHz, or `None` if it changes with the core's speed or stops with it.
///
/// The first call measures, which takes 20 ms; the others know.
pub fn khz() -> Option<u64> {
    static KHZ: OnceLock<Option<u64>> = OnceLock::new();
    *KHZ.get_or_init(|| {
        let cpus = fs::read_to_string("/proc/cpuinfo").ok()?;
        is_invariant(&cpus).then(measure)
    })
}

/// Whether every core says that its counter neither changes its rate nor stops.
fn is_invariant(cpus: &str) -> bool {
    let mut flags = cpus
        .lines()
        .filter(|line| line.starts_with("flags"))
        .peekable();
    flags.peek().is_some()
        && flags.all(|line| {
            ["constant_tsc", "nonstop_tsc"]
                .iter()
                .all(|flag| line.split_ascii_whitespace().any(|word| word == *flag))
        })
}

fn measure() -> u64 {
    let (start, from) = reading();
    std::thread::sleep(BASELINE);
    let (end, to) = reading();
    rate(to.wrapping_sub(from), end - start)
}

fn rate(ticks: u64, time: Duration) -> u64 {
    (u128::from(ticks) * 1_000_000 / time.as_nanos().max(1)) as u64
}

/// A time and the counter at it: of some attempts the one that was interrupted least.
fn reading() -> (Instant, u64) {
    let attempt = |_| {
        let before = Instant::now();
        // SAFETY: the instruction reads a register; every x86-64 processor has it, and Linux leaves it to
        // programs.
        let ticks = unsafe { _rdtsc() };
        let took = before.elapsed();
        (took, before + took / 2, ticks)
    };
    let (_, at, ticks) = (0..16).map(attempt).min().unwrap_or_else(|| attempt(0));
    (at, ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_ticks_per_millisecond() {
        assert_eq!(rate(46_000_000, Duration::from_millis(20)), 2_300_000);
        assert_eq!(rate(0, Duration::ZERO), 0);
    }

    #[test]
    fn a_counter_that_may_stop_on_any_core_has_no_rate() {
        let good = "flags : fpu tsc constant_tsc nonstop_tsc\n";
        assert!(is_invariant(&good.repeat(2)));
        assert!(!is_invariant(&format!(
            "{good}flags : fpu tsc constant_tsc\n"
        )));
        assert!(!is_invariant("processor : 0\n"));
    }

    #[test]
    fn the_rate_is_that_of_a_processor_and_does_not_change() {
        let Some(khz) = khz() else {
            let cpus = fs::read_to_string("/proc/cpuinfo").unwrap();
            assert!(!is_invariant(&cpus));
            return;
        };
        assert!((500_000..10_000_000).contains(&khz), "{khz}");
        assert_eq!(super::khz(), Some(khz));
    }
}
