//! Pauses after failures.

use std::time::Duration;

use jiff::Timestamp;

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long to wait after so many failures in a row: 1 s, 2 s, 4 s, … 60 s.
pub fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << (failures - 1).min(6)).min(LONGEST_PAUSE),
    }
}

/// Whether an instance may be started again after failures.
pub fn may_retry(failures: u32, last_failure: Option<Timestamp>, now: Timestamp) -> bool {
    last_failure.is_none_or(|last| {
        Duration::try_from(now.duration_since(last)).unwrap_or_default() >= pause(failures)
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn ago(seconds: i64) -> Option<Timestamp> {
        NOW.checked_sub(SignedDuration::from_secs(seconds)).ok()
    }

    #[test]
    fn failures_are_retried_ever_more_rarely() {
        assert_eq!(
            [0, 1, 2, 3, 7, 50].map(|failures| pause(failures).as_secs()),
            [0, 1, 2, 4, 60, 60]
        );
        assert!(!may_retry(2, ago(1), NOW));
        assert!(may_retry(2, ago(2), NOW));
    }
}
