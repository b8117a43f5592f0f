//! Waits until a moment, to some microseconds. The runtime's own timers count in milliseconds, which at 20 000 requests a second
//! would send twenty at a time.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// After so many moments that were over already, others get a turn.
const AT_A_TIME: u32 = 4;

pub(crate) struct Pacer {
    timer: AsyncFd<OwnedFd>,
    over: u32,
}

impl Pacer {
    /// Within a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that are not always the same descriptor; an OwnedFd is"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer, over: 0 })
    }

    /// Waits until `moment`, which may be over.
    pub(crate) async fn until(&mut self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.over += 1;
            if self.over >= AT_A_TIME {
                self.over = 0;
                tokio::task::yield_now().await;
            }
            return Ok(());
        }
        self.over = 0;
        let setting = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(left),
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &setting)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            let read =
                ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?));
            // Otherwise it was not ready yet.
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_moment_comes_early() {
        let mut pacer = Pacer::new().unwrap();
        let start = Instant::now();
        for step in 0..20 {
            let moment = start + Duration::from_micros(300) * step;
            pacer.until(moment).await.unwrap();
            assert!(Instant::now() >= moment);
        }
        pacer.until(start).await.unwrap();
    }
}
