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

mod attempt;
mod streak;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sys::netns::NetNs;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use self::attempt::attempt;
use self::streak::Streak;
use crate::config::{Check, Checks, Probe, Timing};
use crate::network::connect;

/// A guest where nothing listens yet answers with a reset within a round trip, so most of the time lost is the pause between
/// attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// How long one attempt may take at first. A lost packet would be sent again only after a second (RFC 6298,
/// section 2.1), a new attempt is sooner; but each that ran out of time doubles this, for slow guests.
const FIRST_PATIENCE: Duration = Duration::from_millis(200);
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

const PERIOD: Duration = Duration::from_secs(10);

/// Makes connections to a port of the function.
pub(crate) type Dial = Arc<dyn Fn(u16) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

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
pub(crate) async fn ready(dial: Dial, probe: &Probe, checks: &Checks) -> Result<(), NotStarted> {
    if let Some(startup) = &checks.startup {
        sleep(startup.timing.initial_delay).await;
        if !settled(&dial, &startup.probe, &startup.timing, |_| true).await {
            return Err(NotStarted);
        }
    }
    sleep(checks.readiness.initial_delay).await;
    if checks.readiness.period.is_zero() {
        succeeds(&dial, probe).await;
    } else {
        settled(&dial, probe, &checks.readiness, |well| well).await;
    }
    Ok(())
}

/// Returns when the probe has failed as often in a row as it may.
pub(crate) async fn lost(dial: Dial, liveness: Check) {
    sleep(liveness.timing.initial_delay).await;
    settled(&dial, &liveness.probe, &liveness.timing, |well| !well).await;
}

/// Tells whether the function goes on being ready, whenever that changes from what it was, `well`. Never returns. Not asked is a function of which only a
/// connection is wanted, and that without a period: it is as good as dead if it takes none.
pub(crate) async fn follow(
    dial: Dial,
    probe: Probe,
    readiness: Timing,
    mut well: bool,
    told: impl Fn(bool),
) {
    let timing = match (&probe, readiness.period.is_zero()) {
        (Probe::Tcp { .. } | Probe::None, true) => return std::future::pending().await,
        // What Kubernetes takes for a period that is not set.
        (_, true) => Timing {
            period: PERIOD,
            ..readiness
        },
        (_, false) => readiness,
    };
    loop {
        well = settled(&dial, &probe, &timing, |now| now != well).await;
        told(well);
    }
}

/// Tries once a period, until successes or failures have reached their threshold and that is what is waited for.
async fn settled(
    dial: &Dial,
    probe: &Probe,
    timing: &Timing,
    awaited: impl Fn(bool) -> bool,
) -> bool {
    let mut streak = Streak::default();
    let mut ticks = interval(timing.period.max(FIRST_PAUSE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let well = timeout(timing.timeout, attempt(dial, probe)).await;
        let verdict = streak.count(timing, well.unwrap_or(false));
        if let Some(well) = verdict.filter(|well| awaited(*well)) {
            return well;
        }
    }
}

/// Knative's own kind of probe, without a period: tries without much of a pause until it succeeds.
async fn succeeds(dial: &Dial, probe: &Probe) {
    let (mut pause, mut patience) = (FIRST_PAUSE, FIRST_PATIENCE);
    loop {
        match timeout(patience, attempt(dial, probe)).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(_) => patience = (patience * 2).min(LONGEST_PATIENCE),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
