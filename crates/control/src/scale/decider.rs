//! How many instances the load needs (knative.dev/serving `pkg/autoscaler/scaling/autoscaler.go`).
//!
//! ```text
//!             panic window needs threshold × ready
//!   stable ──────────────────────────────────────────► panic ──┐ again: the time begins anew
//!     ▲                                                 │  ▲   │
//!     └──── a whole stable window without ──────────────┘  └───┘
//! ```
//!
//! In a panic the more of both windows counts, and nothing is taken away.

use jiff::Timestamp;

use super::meter::Measured;
use super::most::Most;
use super::policy::Policy;
use super::reason::{Average, Reason};
use super::{since, step};

/// What is seen beside the load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// Instances that answer.
    pub(super) ready: u32,
    /// Requests that wait while nothing answers.
    pub(super) waiting: u32,
    pub(super) routed: bool,
}

/// What the load needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wish {
    pub(super) desired: u32,
    pub(super) why: Reason,
    /// Requests that may come at once, beyond the burst that there must be room for; below zero there is no room.
    pub(super) excess: i64,
    pub(super) panic: bool,
    pub(super) measured: Measured,
}

/// What is remembered of the load beyond its averages.
#[derive(Debug, Clone, Default)]
pub(super) struct Decider {
    panic_since: Option<Timestamp>,
    /// The most that was wanted in this panic.
    panic_most: u32,
    delayed: Most,
}

impl Decider {
    /// Several instances that are there already were needed, though nothing is known of it: none goes for a window.
    pub(super) fn new(ready: u32, now: Timestamp) -> Self {
        Self {
            panic_since: (ready > 1).then_some(now),
            panic_most: ready,
            delayed: Most::default(),
        }
    }

    /// The clock was set back: what happened later than now happens now.
    pub(super) fn clock_set_back(&mut self, now: Timestamp) {
        self.panic_since = self.panic_since.map(|since| since.min(now));
        self.delayed.clear();
    }

    pub(super) fn wish(
        &mut self,
        mut measured: Measured,
        sight: Sight,
        policy: &Policy,
        now: Timestamp,
    ) -> Wish {
        // Requests that wait for the first instance count at once; upstream's activator reports the first of them at once, too,
        // and the others a second later.
        if sight.waiting > 0 {
            let waiting = f64::from(sight.waiting);
            measured.stable = measured.stable.max(waiting);
            measured.panic = measured.panic.max(waiting);
        }
        let needed = |observed: f64| (observed / policy.target).ceil();
        let (stable, panic) = (needed(measured.stable), needed(measured.panic));
        let step_of = |needed| step_towards(needed, sight, policy);
        let (mut desired, mut why) = step_of(stable);
        if why.is_none() {
            why = Some(reason_of_load(measured, sight, policy, false));
        }

        self.panicking(panic, sight.ready, policy, now);
        if self.panic_since.is_some() {
            let (in_panic, limit) = step_of(panic);
            if in_panic > desired {
                desired = in_panic;
                why = Some(limit.unwrap_or_else(|| reason_of_load(measured, sight, policy, true)));
            }
            if desired < self.panic_most {
                why = Some(Reason::HeldInPanic { needed: desired });
            }
            self.panic_most = self.panic_most.max(desired);
            desired = self.panic_most;
        }

        if policy.down_delay.is_zero() || !sight.routed {
            self.delayed.clear();
        } else {
            let steps = policy.down_delay.as_secs_f64() / super::TICK.as_secs_f64();
            let most = self.delayed.record(step(now), desired, steps.ceil() as i64);
            if most > desired {
                let delay = policy.down_delay;
                why = Some(Reason::DownDelay {
                    needed: desired,
                    delay,
                });
                desired = most;
            }
        }
        Wish {
            desired,
            why: why.unwrap_or(Reason::NoData),
            excess: excess(measured.panic, sight.ready, policy),
            panic: self.panic_since.is_some(),
            measured,
        }
    }

    /// Begins a panic, goes on with it, or ends it. `needed` is by the panic window.
    fn panicking(&mut self, needed: f64, ready: u32, policy: &Policy, now: Timestamp) {
        if needed / f64::from(ready.max(1)) >= policy.panic_threshold {
            self.panic_since = Some(now);
        } else if self
            .panic_since
            .is_some_and(|at| since(at, now) > policy.stable_window)
        {
            self.panic_since = None;
            self.panic_most = 0;
        }
    }
}

/// What is needed, as far as one step goes, and what has changed it.
fn step_towards(needed: f64, sight: Sight, policy: &Policy) -> (u32, Option<Reason>) {
    let ready = f64::from(sight.ready.max(1));
    // Rounded away from what is there, so that a small rate does not stand still.
    let most = (policy.max_up_rate * ready).ceil();
    let least = if sight.routed {
        (ready / policy.max_down_rate).floor()
    } else {
        0.0
    };
    let (count, ready) = (needed as u32, sight.ready);
    let (mut desired, mut why) = if needed > most {
        let rate = policy.max_up_rate;
        (
            most as u32,
            Some(Reason::UpRate {
                needed: count,
                ready,
                rate,
            }),
        )
    } else if needed < least {
        let rate = policy.max_down_rate;
        (
            least as u32,
            Some(Reason::DownRate {
                needed: count,
                ready,
                rate,
            }),
        )
    } else {
        (count, None)
    };
    if needed > 0.0 && policy.activation > 1 && desired < policy.activation {
        desired = policy.activation;
        why = Some(Reason::Activation);
    }
    (desired, why)
}

fn reason_of_load(measured: Measured, sight: Sight, policy: &Policy, panic: bool) -> Reason {
    let (observed, window) = if panic {
        (measured.panic, policy.panic_window)
    } else {
        (measured.stable, policy.stable_window)
    };
    let waiting = f64::from(sight.waiting);
    if sight.waiting > 0 && observed <= waiting {
        return Reason::Waiting {
            queued: sight.waiting,
        };
    }
    let average = Average {
        metric: policy.metric,
        observed,
        target: policy.target,
        window,
    };
    if panic {
        Reason::Panic(average)
    } else {
        Reason::Load(average)
    }
}

/// By the panic window, so that the queue is not taken out of the way at every lull.
fn excess(observed: f64, ready: u32, policy: &Policy) -> i64 {
    let burst = policy.burst_capacity;
    if burst > 0.0 {
        (f64::from(ready) * policy.total - burst - observed).floor() as i64
    } else if burst < 0.0 {
        -1
    } else {
        0
    }
}
