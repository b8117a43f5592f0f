//! The life of the process, as PID 1 steers it. Pure: it is told what happened, and says what to do.
//!
//! ```text
//!            Shutdown: TERM           grace over: KILL
//!  Running ───────────────▶ Ending ───────────────────▶ Killed
//!     │                        │                           │
//!     └────────────────────────┴─── the process ends ──────┴──▶ (report, power off)
//! ```

use std::time::{Duration, Instant};

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    /// It was asked to end, and will be killed at this time.
    Ending {
        deadline: Instant,
    },
    Killed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Send this signal to the process.
    Signal(i32),
    /// Kill every process there is.
    KillAll,
}

const SIGTERM: i32 = nix::libc::SIGTERM;

impl Life {
    /// The host wants the process to end.
    pub(super) fn shutdown(&mut self, grace: Duration, now: Instant) -> Option<Action> {
        let deadline = now.checked_add(grace);
        match *self {
            // No grace, or one so long that the clock cannot count it, which nobody means.
            Life::Running | Life::Ending { .. } if grace.is_zero() || deadline.is_none() => {
                *self = Life::Killed;
                Some(Action::KillAll)
            }
            Life::Running => {
                *self = Life::Ending {
                    deadline: deadline?,
                };
                Some(Action::Signal(SIGTERM))
            }
            // A second wish can only shorten the first.
            Life::Ending { deadline: first } => {
                *self = Life::Ending {
                    deadline: first.min(deadline?),
                };
                None
            }
            Life::Killed => None,
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Action> {
        match *self {
            Life::Ending { deadline } if deadline <= now => {
                *self = Life::Killed;
                Some(Action::KillAll)
            }
            _ => None,
        }
    }

    /// When [`Life::tick`] has something to do.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Life::Ending { deadline } => Some(deadline),
            Life::Running | Life::Killed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_shutdown_terminates_and_kills_when_the_grace_is_over() {
        let now = Instant::now();
        let mut life = Life::Running;
        assert_eq!(life.shutdown(2 * SECOND, now), Some(Action::Signal(15)));
        assert_eq!(life.deadline(), Some(now + 2 * SECOND));
        assert_eq!(life.tick(now + SECOND), None);
        assert_eq!(life.tick(now + 2 * SECOND), Some(Action::KillAll));
        assert_eq!(life.tick(now + 3 * SECOND), None);
        assert_eq!(life.deadline(), None);
    }

    #[test]
    fn no_grace_kills_at_once() {
        let mut life = Life::Running;
        assert_eq!(
            life.shutdown(Duration::ZERO, Instant::now()),
            Some(Action::KillAll)
        );
        assert_eq!(life.shutdown(SECOND, Instant::now()), None);
    }

    #[test]
    fn a_second_shutdown_shortens_the_grace_but_never_lengthens_it() {
        let now = Instant::now();
        let mut life = Life::Running;
        life.shutdown(5 * SECOND, now);
        assert_eq!(life.shutdown(9 * SECOND, now), None);
        assert_eq!(life.deadline(), Some(now + 5 * SECOND));
        assert_eq!(life.shutdown(SECOND, now), None);
        assert_eq!(life.deadline(), Some(now + SECOND));
        assert_eq!(life.shutdown(Duration::ZERO, now), Some(Action::KillAll));
    }

    #[test]
    fn a_grace_beyond_the_clock_does_not_panic() {
        assert_eq!(
            Life::Running.shutdown(Duration::MAX, Instant::now()),
            Some(Action::KillAll)
        );
    }

    #[test]
    fn time_alone_does_nothing_to_a_running_process() {
        assert_eq!(Life::Running.tick(Instant::now()), None);
    }
}
