//! How many instances a revision should have, as Knative's pod autoscaler decides it.
//!
//! ```text
//!   data plane ──Load──► meter ──averages──► decider ──wish──► bounds ──► to zero? ──► Decision
//!                  seconds │        every 2 s │        at every look │         │
//!                  (buckets.rs)        (decider.rs)             (this file) (activity.rs)
//! ```
//!
//! The decider looks at the load every two seconds, as upstream does, and at once when requests wait and nothing answers. Bounds,
//! initial scale and the way to zero hold at every look. `docs/autoscaling.md` says what differs from upstream, and why.

mod activity;
mod backoff;
mod buckets;
mod decider;
mod meter;
mod most;
mod policy;
mod reason;
pub mod simulation;

use std::time::Duration;

use jiff::Timestamp;

pub use activity::{Activity, State};
pub use api::settings::Autoscaler as Config;
pub use backoff::{Backoff, FailedTry};
pub use buckets::Aggregation;
pub use meter::{Load, Measured};
pub use policy::{Metric, Policy};
pub use reason::{Average, Reason};

use activity::Wanted;
use decider::{Decider, Sight, Wish};
use meter::Meter;

/// How often the load is looked at.
pub const TICK: Duration = Duration::from_secs(2);

/// What is seen at a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Instances that answer.
    pub ready: u32,
    /// Instances on their way.
    pub starting: u32,
    /// Requests that wait now.
    pub queued: u32,
    /// What has come since the last look.
    pub load: Load,
    /// Whether traffic is routed to it.
    pub routed: bool,
    /// Since when all requests go through the queue, if they do.
    pub proxied_since: Option<Timestamp>,
    /// Whether it has had its time to become ready for the first time, and failed.
    pub given_up: bool,
}

/// What to do, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Instances there should be.
    pub desired: u32,
    /// What has decided it.
    pub why: Reason,
    /// Whether the revision is active.
    pub activity: Activity,
    /// The load, once there is any.
    pub measured: Option<Measured>,
    /// Whether there is a panic.
    pub panic: bool,
    /// Requests that may come at once beyond the burst that there must be room for; below zero, the queue has to be in their way.
    pub excess_burst_capacity: i64,
    /// When to look again though nothing happens; `None` if only an event can change anything.
    pub next: Option<Timestamp>,
}

impl Decision {
    /// Whether requests have to go through the queue: there is no room for a burst.
    pub fn through_queue(&self) -> bool {
        self.desired == 0 || self.excess_burst_capacity < 0
    }
}

/// The scale of one revision, with its memory of the load.
#[derive(Debug, Clone)]
pub struct Autoscaler {
    meter: Meter,
    decider: Decider,
    activity: Option<Activity>,
    wish: Option<Wish>,
    /// As it was decided last.
    applied: u32,
    /// Whether the initial scale has yet to be reached.
    initial: bool,
    /// The look before this, and whether there was anything to look at.
    last: Option<(Timestamp, bool)>,
    /// The tick that the wish is of.
    ticked: Option<i64>,
}

impl Autoscaler {
    /// `proven` says whether the revision has been ready before, so that the initial scale no longer holds.
    pub fn new(policy: &Policy, proven: bool) -> Self {
        Self {
            meter: Meter::new(policy),
            decider: Decider::default(),
            activity: None,
            wish: None,
            applied: 0,
            initial: !proven,
            last: None,
            ticked: None,
        }
    }

    /// Decides anew.
    pub fn look(&mut self, seen: &Seen, policy: &Policy, now: Timestamp) -> Decision {
        self.mind_the_clock(policy, now);
        if self.last.is_none() {
            self.decider = Decider::new(seen.ready, now);
        }
        self.measure(seen, policy, now);
        // A new revision gets no traffic before it has shown that it works: that makes it no less needed.
        let routed = seen.routed || self.initial;
        self.tick(seen, routed, policy, now);

        let activity = *self.activity.get_or_insert_with(|| {
            let state = if self.initial {
                State::Activating
            } else {
                State::Inactive
            };
            Activity::new(state, now)
        });
        let settled = self.settle(seen, routed, &activity, policy, now);
        let least = if routed { policy.min } else { 0 };
        let enough = if self.initial {
            least.max(policy.initial)
        } else {
            least.max(1)
        };
        if seen.ready >= enough || settled.why == Reason::TimedOut {
            self.initial = false;
        }
        let mut activity = activity;
        activity.follow(settled.wanted, seen.ready, enough, now);
        self.activity = Some(activity);
        self.applied = settled.desired;

        let busy = seen.ready + seen.starting + seen.queued > 0 || settled.desired > 0;
        self.last = Some((now, busy));
        let wish = self.wish.as_ref();
        Decision {
            desired: settled.desired,
            why: settled.why,
            activity,
            measured: wish.map(|wish| wish.measured),
            panic: wish.is_some_and(|wish| wish.panic),
            excess_burst_capacity: match wish {
                Some(wish) => wish.excess,
                None => before_any_load(policy),
            },
            next: [busy.then(|| after_tick(now)), settled.next]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// A clock that was set back leaves times in the future, which say nothing.
    fn mind_the_clock(&mut self, policy: &Policy, now: Timestamp) {
        let Some((last, busy)) = self.last.filter(|(last, _)| *last > now) else {
            return;
        };
        // By so little, the seconds that are known come again.
        if since(now, last) >= Duration::from_secs(1) {
            self.meter = Meter::new(policy);
        }
        self.last = Some((now, busy));
        self.ticked = None;
        self.decider.clock_set_back(now);
        if let Some(activity) = &mut self.activity {
            activity.since = activity.since.min(now);
        }
    }

    fn measure(&mut self, seen: &Seen, policy: &Policy, now: Timestamp) {
        self.meter.resize(policy);
        let present = seen.ready + seen.starting + seen.queued > 0;
        match self.last {
            Some((last, true)) => self.meter.record(seen.load, last, now),
            // Where nothing is, nobody tells anything: the time until now is no part of any average.
            _ if present || seen.load.requests > 0 => self.meter.record(seen.load, now, now),
            _ => {}
        }
    }

    fn tick(&mut self, seen: &Seen, routed: bool, policy: &Policy, now: Timestamp) {
        let sight = Sight {
            ready: seen.ready,
            waiting: if seen.ready == 0 { seen.queued } else { 0 },
            routed,
        };
        let tick = step(now);
        if self.ticked == Some(tick) && sight.waiting == 0 {
            return;
        }
        self.ticked = Some(tick);
        let measured = self.meter.measured(policy.metric, now);
        // Without any data the wish stays what it was.
        if measured.is_some() || sight.waiting > 0 {
            let measured = measured.unwrap_or_default();
            self.wish = Some(self.decider.wish(measured, sight, policy, now));
        }
    }

    /// The wish within its bounds; and if it is none, whether the last may go.
    fn settle(
        &self,
        seen: &Seen,
        routed: bool,
        activity: &Activity,
        policy: &Policy,
        now: Timestamp,
    ) -> Settled {
        let given_up = seen.given_up && self.initial;
        if given_up && seen.queued == 0 {
            return Settled::at(0, Reason::GivenUp, Wanted::None);
        }
        let needed = self.wish.as_ref().map_or(0, |wish| wish.desired);
        let (mut desired, mut why) = match &self.wish {
            Some(wish) => (wish.desired, wish.why),
            // The initial scale is no load.
            None if self.initial => (0, Reason::NoData),
            None => (self.applied, Reason::NoData),
        };
        if routed && !given_up && needed < policy.min && desired <= policy.min {
            desired = policy.min;
            why = Reason::Min { needed };
        }
        let timed_out = activity.state == State::Activating
            && since(activity.since, now) >= policy.activation_timeout;
        if self.initial && !given_up && !timed_out && desired < policy.initial {
            desired = policy.initial;
            why = Reason::Initial;
        }
        if policy.max > 0 && desired > policy.max {
            desired = policy.max;
            why = Reason::Max { needed };
        }
        if desired > 0 {
            return Settled::at(desired, why, Wanted::Some);
        }
        if self.applied == 0 && seen.ready + seen.starting == 0 && policy.to_zero {
            let wanted = if timed_out || !self.initial {
                Wanted::None
            } else {
                Wanted::Unknown
            };
            let why = if timed_out {
                Reason::TimedOut
            } else {
                Reason::Idle
            };
            return Settled::at(0, why, wanted);
        }
        let idle = activity.idle(policy, routed, seen.proxied_since, now);
        let most = if policy.max == 0 {
            u32::MAX
        } else {
            policy.max
        };
        Settled {
            desired: idle.desired.unwrap_or(self.applied).min(most),
            why: idle.why,
            wanted: idle.wanted,
            next: idle.next,
        }
    }
}

/// What was decided, before it is told.
struct Settled {
    desired: u32,
    why: Reason,
    wanted: Wanted,
    next: Option<Timestamp>,
}

impl Settled {
    fn at(desired: u32, why: Reason, wanted: Wanted) -> Self {
        Self {
            desired,
            why,
            wanted,
            next: None,
        }
    }
}

/// What upstream takes until it knows better (`pkg/autoscaler/scaling/multiscaler.go`): whether the initial scale has the room.
fn before_any_load(policy: &Policy) -> i64 {
    let burst = policy.burst_capacity;
    if burst > 0.0 {
        (f64::from(policy.initial) * policy.total - burst).floor() as i64
    } else {
        burst as i64
    }
}

/// Ticks since 1970.
fn step(now: Timestamp) -> i64 {
    now.as_second().div_euclid(TICK.as_secs() as i64)
}

fn after_tick(now: Timestamp) -> Timestamp {
    Timestamp::from_second((step(now) + 1) * TICK.as_secs() as i64).unwrap_or(now)
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
