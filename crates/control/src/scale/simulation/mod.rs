//! A revision under a trace of invocations, in virtual time: what the autoscaler would decide, and what requests would wait for.
//!
//! The model is of a node: requests that find no room wait in a queue, first come first served; an instance takes so long to
//! start, works on so many requests at once, each as long as the trace says whatever else runs; one that goes finishes what it has.

mod world;

use std::time::Duration;

use super::{Autoscaler, Policy, Reason};
use world::World;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation {
    /// When it comes, since the beginning of the trace.
    pub at: Duration,
    /// How long an instance works on it.
    pub takes: Duration,
}

/// What instances are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// From the wish for an instance until it answers.
    pub cold_start: Duration,
    /// Requests that one works on at once; 0 is no limit.
    pub container_concurrency: u32,
}

/// A second of the simulation, at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Second {
    /// Since the beginning.
    pub second: u64,
    /// Requests that came in it.
    pub arrived: u32,
    /// Requests that are worked on.
    pub in_flight: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Instances there should be.
    pub desired: u32,
    /// Instances that answer.
    pub ready: u32,
    /// Instances on their way.
    pub starting: u32,
    /// The metric over the stable window.
    pub stable: f64,
    /// The metric over the panic window.
    pub panic: f64,
    /// Whether there is a panic.
    pub panicking: bool,
    /// Why there should be so many.
    pub why: Reason,
}

/// What has become of it all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Course {
    /// Second by second.
    pub seconds: Vec<Second>,
    /// How long each request has waited, in the order in which they began to be worked on.
    pub waits: Vec<Duration>,
    /// Requests that came when no instance answered.
    pub cold: usize,
    /// Time of all instances together.
    pub instance_time: Duration,
    /// Instances that were started.
    pub started: usize,
    /// The most that answered at once.
    pub most_ready: u32,
}

impl Course {
    /// The wait that `fraction` of all requests have not exceeded.
    pub fn wait(&self, fraction: f64) -> Duration {
        let mut sorted = self.waits.clone();
        sorted.sort_unstable();
        let place = (fraction * sorted.len() as f64).ceil() as usize;
        let at = place.saturating_sub(1).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }
}

/// Plays a trace to a revision that has been ready before and is at zero. It goes on until nothing is left, or would not become
/// less any more.
pub fn run(trace: &[Invocation], policy: &Policy, model: &Model) -> Course {
    World::new(policy, model, Autoscaler::new(policy, true)).play(trace)
}

#[cfg(test)]
mod tests;
