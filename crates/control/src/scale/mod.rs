//! How many instances a revision should have: a plain rule on concurrency, to and from zero.
//!
//! Up at once, by the load of now; down to the most that the load has needed over the window, since an instance is dear to
//! start; to zero when the window has passed without a request. Annotations and defaults: knative.dev/serving
//! `config-autoscaler`.

mod backoff;
mod bounds;
mod window;

use std::time::Duration;

use jiff::Timestamp;

pub use backoff::{Backoff, FailedTry};
pub use bounds::Bounds;
use window::Window;

/// What is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Instances that answer.
    pub ready: u32,
    /// Instances on their way.
    pub starting: u32,
    /// Requests in flight and queued, on average since the last decision.
    pub concurrency: f64,
    /// Requests that wait now.
    pub queued: u32,
    /// When a request last came.
    pub last_request: Option<Timestamp>,
    /// When an instance was last asked for.
    pub wanted_since: Option<Timestamp>,
    /// Whether it was ever ready, so that the initial scale no longer holds.
    pub ever_ready: bool,
    /// Whether the last try to become ready failed.
    pub failed: bool,
    /// Whether its progress deadline has passed.
    pub late: bool,
    /// Whether traffic is routed to it.
    pub routed: bool,
    /// What was asked for.
    pub bounds: Bounds,
}

/// What to do, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Instances there should be.
    pub desired: u32,
    /// For people.
    pub why: String,
}

/// Decides with a memory of the load: the one to use.
#[derive(Debug, Clone, Default)]
pub struct Autoscaler {
    needs: Window,
}

impl Autoscaler {
    /// Decides the number of instances. `input.concurrency` is the average since the last call.
    pub fn decide(&mut self, input: &Input, now: Timestamp) -> Decision {
        let window = input.bounds.window;
        // What a new revision starts with counts as needed, or the first instance to be ready would end the others.
        let initial = if input.ever_ready {
            0
        } else {
            input.bounds.initial
        };
        let most = self.needs.observe(need(input).max(initial), window, now);
        bounded(input, Some(most), now)
    }
}

/// Decides the number of instances by what is seen now alone. Without a memory of the load, instances that were once needed stay
/// until the window has passed without a request.
pub fn decide(input: &Input, now: Timestamp) -> Decision {
    bounded(input, None, now)
}

fn bounded(input: &Input, recent: Option<u32>, now: Timestamp) -> Decision {
    let (wanted, why) = unbounded(input, recent, now);
    let bounds = &input.bounds;
    let least = if input.routed && !given_up(input) {
        bounds.min
    } else {
        0
    };
    let most = if bounds.max == 0 {
        u32::MAX
    } else {
        bounds.max
    };
    if wanted < least {
        return Decision {
            desired: least.min(most),
            why: format!("min-scale {least}"),
        };
    }
    if wanted > most {
        return Decision {
            desired: most,
            why: format!("{why}, held by max-scale {most}"),
        };
    }
    if wanted > 0 && wanted < bounds.activation {
        return Decision {
            desired: bounds.activation.min(most),
            why: format!("activation-scale {}", bounds.activation),
        };
    }
    Decision {
        desired: wanted,
        why,
    }
}

fn unbounded(input: &Input, recent: Option<u32>, now: Timestamp) -> (u32, String) {
    let bounds = &input.bounds;
    let present = input.ready.saturating_add(input.starting);
    if !input.ever_ready && bounds.initial > 0 && !given_up(input) {
        return (bounds.initial, format!("initial-scale {}", bounds.initial));
    }
    let by_load = need(input);
    if by_load > present {
        let (load, target) = (load(input), bounds.target);
        let why = format!("{load:.1} requests at once over a target of {target:.1}");
        return (by_load, why);
    }
    if present == 0 {
        return gone(input, now);
    }
    let quiet = quiet_for(input, now);
    if quiet >= bounds.window {
        return after_the_window(input, present, by_load, quiet);
    }
    match recent {
        Some(most) if most < present => {
            let seconds = bounds.window.as_secs();
            (most.max(1), format!("no more were needed for {seconds} s"))
        }
        _ => (present, format!("a request came {} s ago", quiet.as_secs())),
    }
}

/// Whether it has had its time to become ready and did not: then only a request has it tried again, as upstream's deployments
/// stop at their progress deadline.
fn given_up(input: &Input) -> bool {
    !input.ever_ready && input.failed && input.late
}

/// Requests at once.
fn load(input: &Input) -> f64 {
    input.concurrency.max(f64::from(input.queued))
}

/// Instances that the load of now needs.
fn need(input: &Input) -> u32 {
    (load(input) / input.bounds.target).ceil() as u32
}

/// Nothing runs and nobody waits. What ended by itself while it was in use is started again: the next request is near.
fn gone(input: &Input, now: Timestamp) -> (u32, String) {
    if given_up(input) {
        let why = "it did not become ready in time, and no request waits";
        return (0, why.to_owned());
    }
    match input.last_request.map(|last| since(last, now)) {
        Some(quiet) if quiet < input.bounds.window => (
            1,
            format!(
                "a request came {} s ago and no instance is left",
                quiet.as_secs()
            ),
        ),
        _ => (0, "no request waits".to_owned()),
    }
}

/// No request has come for the window, though some may still run.
fn after_the_window(input: &Input, present: u32, by_load: u32, quiet: Duration) -> (u32, String) {
    let bounds = &input.bounds;
    if by_load > 0 {
        return (
            by_load.min(present),
            format!("{:.1} requests still run", input.concurrency),
        );
    }
    if input.routed && quiet < bounds.window.saturating_add(bounds.retention) {
        return (
            1,
            format!(
                "kept for {} s by the retention period",
                bounds.retention.as_secs()
            ),
        );
    }
    (0, format!("no request for {} s", bounds.window.as_secs()))
}

/// Time since the last request, or since an instance was last asked for, whichever is later.
fn quiet_for(input: &Input, now: Timestamp) -> Duration {
    // A clock that was set back leaves times in the future, which say nothing.
    let past = |time: Option<Timestamp>| time.filter(|time| *time <= now);
    let last = past(input.last_request).max(past(input.wanted_since));
    last.map_or(Duration::MAX, |last| since(last, now))
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
