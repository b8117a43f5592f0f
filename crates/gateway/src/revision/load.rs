use std::time::Duration;

use tokio::time::Instant;

/// How many requests a revision has over time, as an exact integral. Time is a parameter.
pub(crate) struct Load {
    current: u64,
    /// Request-nanoseconds up to `at`.
    area: u128,
    at: Instant,
    window: (u128, Instant),
}

impl Load {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            current: 0,
            area: 0,
            at: now,
            window: (0, now),
        }
    }

    pub(crate) fn enter(&mut self, now: Instant) {
        self.advance(now);
        self.current += 1;
    }

    pub(crate) fn leave(&mut self, now: Instant) {
        self.advance(now);
        self.current = self.current.saturating_sub(1);
    }

    /// Request-seconds since the beginning.
    pub(crate) fn total(&mut self, now: Instant) -> Duration {
        self.advance(now);
        Duration::from_nanos(u64::try_from(self.area).unwrap_or(u64::MAX))
    }

    /// Average number of requests since the last call; starts a new window. An empty window answers with
    /// the present number.
    pub(crate) fn average(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let (area, start) = std::mem::replace(&mut self.window, (self.area, now));
        let elapsed = now.saturating_duration_since(start).as_nanos();
        if elapsed == 0 {
            self.current as f64
        } else {
            (self.area - area) as f64 / elapsed as f64
        }
    }

    fn advance(&mut self, now: Instant) {
        // Threads read the clock before they take the lock, so `now` may lie a little before `at`.
        let elapsed = now.saturating_duration_since(self.at);
        self.area += u128::from(self.current) * elapsed.as_nanos();
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_weighs_each_level_by_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut load = Load::new(start);
        load.enter(at(100));
        load.enter(at(200));
        load.leave(at(400));
        // 0 for 100 ms, 1 for 100, 2 for 200, 1 for 100.
        assert!((load.average(at(500)) - 1.2).abs() < 1e-9);
        assert!((load.average(at(600)) - 1.0).abs() < 1e-9);
        assert!((load.average(at(600)) - 1.0).abs() < 1e-9, "empty window");
        assert_eq!(load.total(at(600)), Duration::from_millis(700));
    }

    #[test]
    fn a_clock_read_late_neither_panics_nor_counts_twice() {
        let start = Instant::now();
        let mut load = Load::new(start);
        load.enter(start + Duration::from_millis(10));
        load.leave(start + Duration::from_millis(5));
        assert_eq!(
            load.total(start + Duration::from_millis(20)),
            Duration::ZERO
        );
    }
}
