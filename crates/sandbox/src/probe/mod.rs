//! Asking a function whether it has started, is ready, and is still alive, from inside its namespace.
//!
//! ```text
//!  program runs ──► startup probe ──► readiness probe ──► ready, liveness probe
//!                     │ fails too often                      │ fails too often
//!                     ▼                                      ▼
//!                   failed                                 failed, and replaced
//! ```
//!
//! Readiness goes on being tried: an instance that is not ready for a while is sent nothing new meanwhile.
//!
//! A clone goes on where the instance was that was saved, which had started and was ready. Whether it is ready itself is asked before it is
//! sent anything, if the function's probe says more than that somebody listens: it may have had connections, which are dead, or
//! a lease, which is over. Who asks for no such thing pays for none.

mod attempt;
mod streak;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sys::netns::NetNs;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::attempt::{Attempt, attempt};
use self::streak::Streak;
use crate::config::{Check, Checks, Probe, Timing};
use crate::exec::Door;
use crate::network::connect;

/// A guest where nothing listens yet answers with a reset within a round trip, so most of the time lost is the pause between
/// attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// The same of commands, which cost the guest more.
const FIRST_EXEC_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_EXEC_PAUSE: Duration = Duration::from_secs(1);

/// How long one attempt may take at first. A lost packet would be sent again only after a second (RFC 6298,
/// section 2.1), a new attempt is sooner; but each that ran out of time doubles this, for slow guests.
const FIRST_PATIENCE: Duration = Duration::from_millis(200);
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

const PERIOD: Duration = Duration::from_secs(10);

/// Makes connections to a port of the function.
pub(crate) type Dial = Arc<dyn Fn(u16) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// The ways in which a function is asked.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) dial: Dial,
    pub(crate) door: Door,
}

/// Into a guest's namespace.
pub(crate) fn dial(namespace: Arc<NetNs>) -> Dial {
    Arc::new(move |port| {
        let namespace = namespace.clone();
        Box::pin(async move { connect(&namespace, port).await })
    })
}

/// The startup probe failed as often in a row as it may.
#[derive(Debug)]
pub(crate) struct NotStarted;

/// Returns when the function has started and is ready.
pub(crate) async fn ready(
    function: &Function,
    probe: &Probe,
    checks: &Checks,
) -> Result<(), NotStarted> {
    if let Some(startup) = &checks.startup {
        sleep(startup.timing.initial_delay).await;
        if !settled(function, &startup.probe, &startup.timing, |_| true).await {
            return Err(NotStarted);
        }
    }
    sleep(checks.readiness.initial_delay).await;
    if checks.readiness.period.is_zero() {
        succeeds(function, probe, checks.readiness.timeout).await;
    } else {
        settled(function, probe, &checks.readiness, |well| well).await;
    }
    Ok(())
}

/// Returns when a function is ready that was when it was saved: one success shows that it is so here, too, and is not waited for longer
/// than it takes.
pub(crate) async fn ready_again(function: &Function, probe: &Probe) {
    succeeds(function, probe, Timing::default().timeout).await;
}

/// Whether the probe of a function's readiness says more than that somebody listens. One that does not, and has no period, is not
/// tried again: the function is as good as dead if it takes no connection.
pub(crate) fn says_more(probe: &Probe, readiness: &Timing) -> bool {
    !matches!(probe, Probe::Tcp { .. } | Probe::None) || !readiness.period.is_zero()
}

/// Returns when the probe has failed as often in a row as it may.
pub(crate) async fn lost(function: &Function, liveness: Check) {
    sleep(liveness.timing.initial_delay).await;
    settled(function, &liveness.probe, &liveness.timing, |well| !well).await;
}

/// Tells whether the function goes on being ready, whenever that changes from what it was, `well`, if its probe [`says_more`]. Never
/// returns.
pub(crate) async fn follow(
    function: &Function,
    probe: Probe,
    readiness: Timing,
    mut well: bool,
    told: impl Fn(bool),
) {
    if !says_more(&probe, &readiness) {
        return std::future::pending().await;
    }
    let mut timing = readiness;
    if timing.period.is_zero() {
        timing.period = PERIOD;
    }
    loop {
        well = settled(function, &probe, &timing, |now| now != well).await;
        told(well);
    }
}

/// Tries once a period, until successes or failures have reached their threshold and that is what is waited for.
async fn settled(
    function: &Function,
    probe: &Probe,
    timing: &Timing,
    awaited: impl Fn(bool) -> bool,
) -> bool {
    let mut streak = Streak::default();
    let mut ticks = interval(timing.period.max(FIRST_PAUSE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let well = attempt(function, probe, timing.timeout).await;
        let verdict = streak.count(timing, well == Attempt::Success);
        if let Some(well) = verdict.filter(|well| awaited(*well)) {
            return well;
        }
    }
}

/// Knative's own kind of probe, without a period: tries without much of a pause until it succeeds.
async fn succeeds(function: &Function, probe: &Probe, at_least: Duration) {
    let (mut pause, mut patience, longest) = match probe {
        // A process that is started in the guest is no packet.
        Probe::Exec { .. } => (FIRST_EXEC_PAUSE, at_least, LONGEST_EXEC_PAUSE),
        _ => (FIRST_PAUSE, FIRST_PATIENCE, LONGEST_PAUSE),
    };
    loop {
        match attempt(function, probe, patience).await {
            Attempt::Success => return,
            Attempt::Failure => {}
            Attempt::Late => patience = (patience * 2).min(LONGEST_PATIENCE.max(at_least)),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
