//! When an instance is to be taken out of service for a moment so that its guest can be saved.
//!
//! The function does not answer meanwhile, so it is done where nobody waits: beside another instance that answers, or in a
//! pause between requests.

use std::time::Duration;

use jiff::Timestamp;

/// How long to leave a revision alone after a snapshot of it failed, doubled with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// After so many failures in a row it is not tried again.
const TRIES: u32 = 4;

/// What is seen of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// The number of answered requests after which a snapshot is wanted; 0 wants none.
    pub after: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Whether there is a snapshot, or one is being taken.
    pub exists: bool,
    /// Instances that answer.
    pub ready: u32,
    /// Requests in flight or queued.
    pub busy: u32,
    /// Snapshots in a row that failed.
    pub failures: u32,
    /// When the last one did.
    pub last_failure: Option<Timestamp>,
}

/// Whether to take a snapshot now.
pub fn due(input: &Input, now: Timestamp) -> bool {
    let wanted = input.after > 0 && input.answered >= input.after && !input.exists;
    let unnoticed = input.ready > 1 || (input.ready == 1 && input.busy == 0);
    wanted && unnoticed && may_retry(input, now)
}

fn may_retry(input: &Input, now: Timestamp) -> bool {
    let Some(last) = input.last_failure else {
        return true;
    };
    let doublings = input.failures.saturating_sub(1).min(TRIES);
    let since = Duration::try_from(now.duration_since(last)).unwrap_or_default();
    input.failures < TRIES && since >= FIRST_PAUSE * (1 << doublings)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    const DUE: Input = Input {
        after: 2,
        answered: 2,
        exists: false,
        ready: 1,
        busy: 0,
        failures: 0,
        last_failure: None,
    };

    #[test]
    fn a_snapshot_is_taken_once_after_enough_requests_and_when_nobody_waits() {
        let cases = [
            (DUE, true),
            (Input { answered: 1, ..DUE }, false),
            (Input { after: 0, ..DUE }, false),
            (
                Input {
                    exists: true,
                    ..DUE
                },
                false,
            ),
            (Input { ready: 0, ..DUE }, false),
            (Input { busy: 1, ..DUE }, false),
            (
                Input {
                    busy: 9,
                    ready: 2,
                    ..DUE
                },
                true,
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(due(&input, NOW), expected, "{input:?}");
        }
    }

    #[test]
    fn failures_are_retried_more_rarely_and_then_no_more() {
        let failed = |failures, seconds| Input {
            failures,
            last_failure: NOW.checked_sub(SignedDuration::from_secs(seconds)).ok(),
            ..DUE
        };
        let cases = [
            (failed(1, 29), false),
            (failed(1, 30), true),
            (failed(2, 59), false),
            (failed(2, 60), true),
            (failed(3, 120), true),
            (failed(4, 100_000), false),
        ];
        for (input, expected) in cases {
            assert_eq!(due(&input, NOW), expected, "{input:?}");
        }
    }
}
