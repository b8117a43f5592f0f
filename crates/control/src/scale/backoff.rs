//! Pauses between tries: the first restart at once, then ever more rarely.
//!
//! As the kubelet has it: pauses double up to five minutes, and after ten minutes without a failure all is forgotten. Unlike it,
//! the first restart of what has worked before costs no pause, so that one crash is hardly felt, pauses begin at two seconds,
//! and a minute of being ready is enough to begin anew: a function that idles away after a minute is seldom ready for ten.

use std::time::Duration;

use jiff::Timestamp;

use super::since;

const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// An instance that was ready for so long was well; that it failed then says nothing about the ones before it.
const STEADY: Duration = Duration::from_secs(60);
const FORGOTTEN: Duration = Duration::from_secs(600);

/// A try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedTry {
    /// When it began.
    pub started: Timestamp,
    /// Since when it had succeeded, if it had.
    pub ready_since: Option<Timestamp>,
    /// Whether the same has ever succeeded, now or earlier: then the first failure is tried again at once.
    pub proven: bool,
}

/// What is remembered of failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    last: Option<Timestamp>,
    pause: Duration,
}

impl Backoff {
    /// Notes a failure. Those of tries that ran side by side count as one.
    pub fn failed(&mut self, failed: &FailedTry, now: Timestamp) {
        let steady = failed
            .ready_since
            .is_some_and(|at| since(at, now) >= STEADY);
        let forgotten = self.last.is_none_or(|last| since(last, now) >= FORGOTTEN);
        if steady || forgotten {
            self.failures = 0;
        } else if self.last.is_some_and(|last| failed.started < last) {
            return;
        }
        self.failures += 1;
        self.last = Some(now);
        self.pause = pause(self.failures - u32::from(failed.proven));
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When it may be tried again, or was allowed to be; `None` if nothing has failed.
    pub fn next_try(&self) -> Option<Timestamp> {
        self.last?.checked_add(self.pause).ok()
    }

    /// When it may be tried again, if that is not now. A clock that was set back makes no pause longer.
    pub fn pending(&self, now: Timestamp) -> Option<Timestamp> {
        let left = |next: Timestamp| Duration::try_from(next.duration_since(now)).ok();
        self.next_try()
            .filter(|next| left(*next).is_some_and(|left| !left.is_zero() && left <= self.pause))
    }
}

/// None, then 2 s, 4 s, 8 s, … 300 s.
fn pause(nth: u32) -> Duration {
    match nth {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << nth.min(9)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A try from `started`, ready from `ready` on, that failed at `failed`.
    struct Try {
        started: i64,
        ready: Option<i64>,
        failed: i64,
    }

    fn crash(started: i64, ready: i64, failed: i64) -> Try {
        Try {
            started,
            ready: Some(ready),
            failed,
        }
    }

    fn dud(started: i64, failed: i64) -> Try {
        Try {
            started,
            ready: None,
            failed,
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_pause_longer() {
        let mut backoff = Backoff::default();
        let failed = FailedTry {
            started: at(10_000),
            ready_since: None,
            proven: false,
        };
        backoff.failed(&failed, at(10_000));
        assert_eq!(backoff.pending(at(10_001)), Some(at(10_002)));
        assert_eq!(backoff.pending(at(10_002)), None);
        assert_eq!(backoff.pending(at(6_400)), None);
    }

    /// The pause after each, in seconds.
    fn pauses(proven: bool, tries: &[Try]) -> Vec<i64> {
        let mut backoff = Backoff::default();
        let after = |it: &Try| {
            let failed = FailedTry {
                started: at(it.started),
                ready_since: it.ready.map(at),
                proven,
            };
            backoff.failed(&failed, at(it.failed));
            backoff.next_try().unwrap().as_second() - it.failed
        };
        tries.iter().map(after).collect()
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let all: Vec<_> = (0..11).map(|nth| pause(nth).as_secs()).collect();
        assert_eq!(all, [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn failures_are_counted_in_rows() {
        let cases = [
            (
                "what never worked has no restart for nothing",
                false,
                vec![dud(0, 1)],
                vec![2],
            ),
            ("what has worked has one", true, vec![dud(0, 1)], vec![0]),
            (
                "crashes soon after being ready add up",
                true,
                vec![crash(0, 1, 2), crash(2, 3, 4), crash(6, 7, 66)],
                vec![0, 2, 4],
            ),
            (
                "a minute of being ready begins a new row",
                true,
                vec![crash(0, 1, 2), crash(2, 3, 4), crash(6, 7, 67)],
                vec![0, 2, 0],
            ),
            (
                "a long start is not being ready",
                true,
                vec![crash(0, 1, 2), dud(2, 100)],
                vec![0, 2],
            ),
            (
                "those that ran side by side fail as one",
                true,
                vec![
                    crash(0, 1, 9),
                    crash(0, 2, 9),
                    crash(3, 4, 9),
                    crash(9, 10, 11),
                ],
                vec![0, 0, 0, 2],
            ),
            (
                "ten minutes without a failure are forgiven",
                true,
                vec![crash(0, 1, 2), crash(2, 3, 4), crash(590, 599, 604)],
                vec![0, 2, 0],
            ),
            (
                "but no less",
                true,
                vec![crash(0, 1, 2), crash(2, 3, 4), crash(590, 599, 603)],
                vec![0, 2, 4],
            ),
        ];
        for (name, proven, tries, expected) in cases {
            assert_eq!(pauses(proven, &tries), expected, "{name}");
        }
    }

    #[test]
    fn a_try_is_pending_until_its_time_has_come() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pending(at(0)), None);
        let failed = FailedTry {
            started: at(0),
            ready_since: None,
            proven: false,
        };
        backoff.failed(&failed, at(1));
        assert_eq!(backoff.pending(at(2)), Some(at(3)));
        assert_eq!(backoff.pending(at(3)), None);
        assert_eq!((backoff.failures(), backoff.next_try()), (1, Some(at(3))));
    }
}
