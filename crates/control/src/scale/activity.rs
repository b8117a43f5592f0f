//! Whether a revision is active, and when the last instance may go (knative.dev/serving
//! `pkg/reconciler/autoscaling/kpa/kpa.go` `computeActiveCondition`, and `scaler.go` `handleScaleToZero`).
//!
//! ```text
//!            enough are ready                no load, active for a window
//! Activating ────────────────► Active ─────────────────────────────────► Inactive
//!   │    ▲                       │                                        │   ▲
//!   │    └── too few are ready ──┘                                        │   │
//!   │    └──────────────────────── load ──────────────────────────────────┘   │
//!   └─────────────────────────── not in its time ─────────────────────────────┘
//! ```

use std::time::Duration;

use jiff::Timestamp;

use super::policy::Policy;
use super::reason::Reason;
use super::since;

/// The condition `Active`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Unknown: it is wanted, and too few instances are ready.
    Activating,
    /// True.
    Active,
    /// False.
    Inactive,
}

/// Whether it is active, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// What it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

/// What becomes of a revision that nothing needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Idle {
    /// Instances that there should be; `None` leaves as many as there were.
    pub(super) desired: Option<u32>,
    /// Whether it is to be active still.
    pub(super) wanted: Wanted,
    pub(super) why: Reason,
    /// When this changes by itself.
    pub(super) next: Option<Timestamp>,
}

/// What the condition is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    None,
    Some,
    /// As it was.
    Unknown,
}

impl Activity {
    pub(super) fn new(state: State, now: Timestamp) -> Self {
        Self { state, since: now }
    }

    /// What becomes of a revision that nothing needs; `proxied` is since when all requests go through the queue.
    pub(super) fn idle(
        &self,
        policy: &Policy,
        routed: bool,
        proxied: Option<Timestamp>,
        now: Timestamp,
    ) -> Idle {
        if !policy.to_zero {
            return Idle {
                desired: Some(1),
                wanted: Wanted::Some,
                why: Reason::ZeroIsOff,
                next: None,
            };
        }
        let elapsed = since(self.since, now);
        let until = |left| now.checked_add(left).ok();
        match self.state {
            State::Activating => {
                let left = policy.activation_timeout.saturating_sub(elapsed);
                if left.is_zero() {
                    return zero(Reason::TimedOut);
                }
                Idle {
                    desired: None,
                    wanted: Wanted::Unknown,
                    why: Reason::Activating { left },
                    next: until(left),
                }
            }
            State::Active => {
                let left = policy.stable_window.saturating_sub(elapsed);
                if left.is_zero() {
                    // From now on it is inactive, and may go at once if nothing else keeps it.
                    return last(Duration::ZERO, policy, routed, proxied, now);
                }
                Idle {
                    desired: Some(1),
                    wanted: Wanted::Some,
                    why: Reason::Active { left },
                    next: until(left),
                }
            }
            State::Inactive => last(elapsed, policy, routed, proxied, now),
        }
    }

    /// Follows what was decided; `enough` is how many must be ready for it to be active.
    pub(super) fn follow(&mut self, wanted: Wanted, ready: u32, enough: u32, now: Timestamp) {
        let stays_inactive = wanted == Wanted::Unknown && self.state == State::Inactive;
        let state = if wanted == Wanted::None || enough == 0 || stays_inactive {
            State::Inactive
        } else if ready < enough {
            State::Activating
        } else {
            State::Active
        };
        if state != self.state {
            *self = Self::new(state, now);
        }
    }
}

/// It has been inactive for so long.
fn last(
    inactive: Duration,
    policy: &Policy,
    routed: bool,
    proxied: Option<Timestamp>,
    now: Timestamp,
) -> Idle {
    let retention = if routed {
        policy.retention
    } else {
        Duration::ZERO
    };
    let hold = |left: Duration, why| Idle {
        desired: None,
        wanted: Wanted::None,
        why,
        next: now.checked_add(left).ok(),
    };
    if inactive >= policy.grace.max(retention) {
        return zero(Reason::Idle);
    }
    let left = retention.saturating_sub(inactive);
    if !left.is_zero() {
        return hold(left, Reason::Retention { left });
    }
    // The queue has been in the way for long enough, before it became inactive even.
    let in_the_way = proxied.map_or(Duration::ZERO, |at| since(at, now));
    let left = policy.grace.saturating_sub(in_the_way.max(inactive));
    if left.is_zero() {
        return zero(Reason::Idle);
    }
    hold(left, Reason::Grace { left })
}

fn zero(why: Reason) -> Idle {
    Idle {
        desired: Some(0),
        wanted: Wanted::None,
        why,
        next: None,
    }
}
