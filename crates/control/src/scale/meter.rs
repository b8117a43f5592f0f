//! What the data plane tells, made into metrics by the second: requests at once on average, and requests that came.
//!
//! A second is written when it is over, as upstream's proxies report it; of the one that runs nothing is known yet. What the data
//! plane tells is exact: the time that all requests together have spent in it since the last look.

use std::time::Duration;

use jiff::Timestamp;

use super::buckets::Buckets;
use super::policy::{Metric, Policy};

/// What came to a revision between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Time that requests have spent queued and in flight, summed over all of them.
    pub busy: Duration,
    /// Requests that came.
    pub requests: u64,
}

/// A metric over the stable and the panic window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window.
    pub panic: f64,
}

/// One metric over two windows.
#[derive(Debug, Clone)]
struct Pair {
    stable: Buckets,
    panic: Buckets,
}

impl Pair {
    fn new(policy: &Policy) -> Self {
        Self {
            stable: Buckets::new(seconds(policy.stable_window), policy.aggregation),
            panic: Buckets::new(seconds(policy.panic_window), policy.aggregation),
        }
    }

    fn resize(&mut self, policy: &Policy) {
        self.stable.resize(seconds(policy.stable_window));
        self.panic.resize(seconds(policy.panic_window));
    }

    fn record(&mut self, second: i64, value: f64) {
        self.stable.record(second, value);
        self.panic.record(second, value);
    }

    fn measured(&self, now: i64) -> Option<Measured> {
        (!self.stable.is_empty(now)).then(|| Measured {
            stable: self.stable.average(now),
            panic: self.panic.average(now),
        })
    }
}

/// The second that runs.
#[derive(Debug, Clone, Copy)]
struct Second {
    at: i64,
    /// The part of it that was looked at, in seconds.
    covered: f64,
    /// Request-seconds.
    busy: f64,
    requests: f64,
}

/// All metrics of a revision.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    concurrency: Pair,
    requests: Pair,
    running: Option<Second>,
}

impl Meter {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            concurrency: Pair::new(policy),
            requests: Pair::new(policy),
            running: None,
        }
    }

    /// The windows are now as the policy says.
    pub(super) fn resize(&mut self, policy: &Policy) {
        self.concurrency.resize(policy);
        self.requests.resize(policy);
    }

    /// Notes the load between two moments, as if it had been the same all the time.
    pub(super) fn record(&mut self, load: Load, from: Timestamp, to: Timestamp) {
        let (busy, requests) = (load.busy.as_secs_f64(), load.requests as f64);
        let span = to.duration_since(from).as_secs_f64();
        if span <= 0.0 {
            let second = self.at(to.as_second());
            second.busy += busy;
            second.requests += requests;
            return;
        }
        let mut start = from;
        while start < to {
            let at = start.as_second();
            let next = Timestamp::from_second(at + 1).unwrap_or(to);
            // Before 1970 seconds are cut off towards zero, and a second could end where it began.
            let end = if next > start { next.min(to) } else { to };
            let part = end.duration_since(start).as_secs_f64();
            let second = self.at(at);
            second.covered += part;
            second.busy += busy * part / span;
            second.requests += requests * part / span;
            start = end;
        }
        // A second that is over is written, though the next one has nothing yet.
        self.at(to.as_second());
    }

    /// The second that runs, once those before it are written.
    fn at(&mut self, at: i64) -> &mut Second {
        if let Some(over) = self.running.filter(|second| second.at != at) {
            // What was looked at of the second stands for all of it.
            let concurrency = over.busy
                / if over.covered > 0.0 {
                    over.covered
                } else {
                    1.0
                };
            self.concurrency.record(over.at, concurrency);
            self.requests.record(over.at, over.requests);
            self.running = None;
        }
        self.running.get_or_insert(Second {
            at,
            covered: 0.0,
            busy: 0.0,
            requests: 0.0,
        })
    }

    /// The metric over both windows; `None` if there is no second of the last window.
    pub(super) fn measured(&self, metric: Metric, now: Timestamp) -> Option<Measured> {
        let pair = match metric {
            Metric::Concurrency => &self.concurrency,
            Metric::Rps => &self.requests,
        };
        // The second that runs is not known, and is not missing.
        pair.measured(now.as_second() - 1)
    }
}

fn seconds(window: Duration) -> usize {
    window.as_secs_f64().ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::tests::{at, policy};

    fn load(busy: f64, requests: u64) -> Load {
        Load {
            busy: Duration::from_secs_f64(busy),
            requests,
        }
    }

    fn measured(meter: &Meter, metric: Metric, now: f64) -> Option<(f64, f64)> {
        meter
            .measured(metric, at(now))
            .map(|it| (it.stable, it.panic))
    }

    #[test]
    fn a_second_counts_when_it_is_over() {
        let mut meter = Meter::new(&policy(&[]));
        assert_eq!(measured(&meter, Metric::Concurrency, 0.0), None);
        meter.record(load(0.5, 3), at(0.0), at(0.5));
        assert_eq!(measured(&meter, Metric::Concurrency, 0.5), None);
        meter.record(load(0.0, 0), at(0.5), at(1.0));
        assert_eq!(measured(&meter, Metric::Concurrency, 1.0), Some((0.5, 0.5)));
        assert_eq!(measured(&meter, Metric::Rps, 1.0), Some((3.0, 3.0)));
    }

    #[test]
    fn a_load_over_several_seconds_is_spread_over_them() {
        let mut meter = Meter::new(&policy(&[]));
        // Ten at once from 0.5 to 3.
        meter.record(load(25.0, 25), at(0.5), at(3.0));
        assert_eq!(
            measured(&meter, Metric::Concurrency, 3.0),
            Some((10.0, 10.0))
        );
        let requests = measured(&meter, Metric::Rps, 3.0).unwrap().0;
        assert!((requests - 25.0 / 3.0).abs() < 1e-5, "{requests}");
    }

    #[test]
    fn the_panic_window_forgets_sooner() {
        let mut meter = Meter::new(&policy(&[]));
        meter.record(load(60.0, 0), at(0.0), at(6.0));
        meter.record(load(0.0, 0), at(6.0), at(12.0));
        assert_eq!(
            measured(&meter, Metric::Concurrency, 12.0),
            Some((5.0, 0.0))
        );
    }

    #[test]
    fn a_load_of_no_time_falls_into_the_second_that_runs() {
        let mut meter = Meter::new(&policy(&[]));
        meter.record(load(0.25, 2), at(5.5), at(5.5));
        meter.record(load(0.25, 0), at(5.5), at(6.0));
        assert_eq!(measured(&meter, Metric::Concurrency, 6.0), Some((1.0, 1.0)));
        assert_eq!(measured(&meter, Metric::Rps, 6.0), Some((2.0, 2.0)));
    }

    #[test]
    fn a_clock_that_was_set_back_ends_nothing() {
        let mut meter = Meter::new(&policy(&[]));
        meter.record(load(1.0, 1), at(9.0), at(10.0));
        meter.record(load(1.0, 1), at(10.0), at(8.0));
        meter.record(load(0.0, 0), at(8.0), at(9.0));
        assert!(measured(&meter, Metric::Rps, 10.0).is_some());
    }
}
