//! The time since the kernel started, which both cold-start figures and the console log count in, and the wall clock.

use agent::protocol::Step;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

/// Microseconds since the kernel's clock started; 0 if there is no such clock.
pub(crate) fn uptime_us() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1000
    })
}

/// Sets the wall clock: microseconds since 1970-01-01T00:00:00Z.
pub(crate) fn set(time_unix_us: u64) -> Result<(), Errno> {
    let time = TimeSpec::new(
        (time_unix_us / 1_000_000) as i64,
        (time_unix_us % 1_000_000 * 1000) as i64,
    );
    clock_settime(ClockId::CLOCK_REALTIME, time)
}

/// The steps of the start, with when each ended.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    /// The step `name` ends now.
    pub(crate) fn end(&mut self, name: &str) {
        self.0.push(Step {
            name: name.to_owned(),
            end_us: uptime_us(),
        });
    }

    pub(crate) fn take(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.0)
    }
}
