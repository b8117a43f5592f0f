//! The autoscaler of one revision, fed with what the gateway counts; what it has decided lately is kept to be shown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::meta::StringMap;
use control::scale::{Autoscaler, Config, Decision, Load, Policy, Seen, State};
use gateway::Stats;
use jiff::Timestamp;
use tokio::sync::watch;

use super::fleet::Census;
use crate::shown::{Scale, Told};
use crate::workload::Workload;

/// How many decisions are kept.
const REMEMBERED: usize = 10;
/// How old the figures that are shown may be while only they change.
const FIGURES_EVERY: Duration = Duration::from_secs(10);

/// What is seen beside what the gateway counts.
pub(super) struct Sight {
    pub(super) census: Census,
    /// A request waits that may not be counted yet.
    pub(super) demand: bool,
    pub(super) routed: bool,
    pub(super) given_up: bool,
}

/// What is shown, but for the figures.
#[derive(PartialEq, Eq)]
struct Shape {
    desired: u32,
    ready: u32,
    why: &'static str,
    state: State,
    panic: bool,
    routed: bool,
}

pub(super) struct Scaling {
    autoscaler: Autoscaler,
    policy: Policy,
    annotations: StringMap,
    container_concurrency: u32,
    config: watch::Receiver<Arc<Config>>,
    /// As the gateway counted when it was last asked.
    counted: (Duration, u64),
    /// All requests go through the gateway's queue, and always have.
    proxied_since: Timestamp,
    lately: VecDeque<Told>,
    shown: Option<(Shape, Timestamp)>,
    idle: bool,
}

impl Scaling {
    pub(super) fn new(
        workload: &Workload,
        config: watch::Receiver<Arc<Config>>,
        now: Timestamp,
    ) -> Self {
        let annotations = workload.annotations.clone();
        let container_concurrency = workload.gateway.container_concurrency;
        let policy = Policy::of(&annotations, container_concurrency, &config.borrow());
        Self {
            autoscaler: Autoscaler::new(&policy, workload.proven),
            policy,
            annotations,
            container_concurrency,
            config,
            counted: (Duration::ZERO, 0),
            proxied_since: now.checked_sub(Duration::from_secs(3600)).unwrap_or(now),
            lately: VecDeque::new(),
            shown: None,
            idle: false,
        }
    }

    /// How many more requests there is to be room for before the gateway holds them back; -1 for as many as come.
    pub(super) fn burst_capacity(&self) -> i64 {
        self.policy.burst_capacity.ceil() as i64
    }

    /// Begins with what the gateway has counted: what it knows of a name outlives the revision of that name while a route leads there, and
    /// what came for a predecessor asks nothing of this one.
    pub(super) fn begin(&mut self, stats: &Stats) {
        self.counted = (stats.request_time, stats.arrived_total);
    }

    /// Whether it needs no instance to show that it works.
    pub(super) fn starts_at_zero(&self) -> bool {
        self.policy.initial == 0
    }

    /// Whether nothing has needed it for a window.
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    /// Waits until the configuration has changed; the next decision is by the new one.
    pub(super) async fn reconfigured(&mut self) {
        if self.config.changed().await.is_err() {
            // The node stops.
            std::future::pending::<()>().await;
        }
        let config = self.config.borrow_and_update().clone();
        self.policy = Policy::of(&self.annotations, self.container_concurrency, &config);
    }

    pub(super) fn decide(&mut self, stats: &Stats, sight: &Sight, now: Timestamp) -> Decision {
        let (busy, requests) = self.counted;
        self.counted = (stats.request_time, stats.arrived_total);
        let seen = Seen {
            ready: sight.census.ready,
            starting: sight.census.starting,
            // A request that waits has raised the demand, and is one request.
            queued: (stats.queued as u32).max(u32::from(sight.demand)),
            load: Load {
                busy: stats.request_time.saturating_sub(busy),
                requests: stats.arrived_total.saturating_sub(requests),
            },
            routed: sight.routed,
            proxied_since: Some(self.proxied_since),
            given_up: sight.given_up,
        };
        let decision = self.autoscaler.look(&seen, &self.policy, now);
        self.idle = decision.activity.state == State::Inactive;
        let (desired, reason) = (decision.desired, decision.why.name());
        let last = self.lately.back();
        if last.is_none_or(|last| (last.desired, last.reason) != (desired, reason)) {
            if self.lately.len() == REMEMBERED {
                self.lately.pop_front();
            }
            self.lately.push_back(Told {
                at: now,
                desired,
                reason,
                message: decision.why.to_string(),
            });
        }
        decision
    }

    /// What is to be shown, if that is news.
    pub(super) fn news(
        &mut self,
        decision: &Decision,
        census: Census,
        routed: bool,
        now: Timestamp,
    ) -> Option<Scale<'_>> {
        let shape = Shape {
            desired: decision.desired,
            ready: census.ready,
            why: decision.why.name(),
            state: decision.activity.state,
            panic: decision.panic,
            routed,
        };
        let figures = census.ready > 0 || decision.desired > 0;
        let stale = |at: Timestamp| {
            let age = Duration::try_from(now.duration_since(at)).unwrap_or(Duration::MAX);
            figures && age >= FIGURES_EVERY
        };
        if let Some((before, at)) = &self.shown
            && *before == shape
            && !stale(*at)
        {
            return None;
        }
        self.shown = Some((shape, now));
        Some(Scale {
            decision: decision.clone(),
            ready: census.ready,
            routed,
            container_concurrency: self.container_concurrency,
            target: self.policy.target,
            lately: &self.lately,
        })
    }
}

#[cfg(test)]
mod tests {
    use api::serving::Revision;
    use serde_json::json;

    use super::*;

    fn workload(annotations: &serde_json::Value) -> Workload {
        let revision: Revision = serde_json::from_value(json!({
            "metadata": {"name": "f-00001", "namespace": "ns", "annotations": annotations},
            "spec": {"containers": [{"image": "dev.local/f"}]},
        }))
        .unwrap();
        Workload::of(&revision).unwrap()
    }

    #[tokio::test]
    async fn room_for_bursts_is_the_annotations_or_the_configurations_and_follows_it() {
        const BURST_CAPACITY: &str = "autoscaling.knative.dev/target-burst-capacity";
        let config = |text: &str| {
            let data = [("target-burst-capacity".to_owned(), text.to_owned())];
            Arc::new(Config::unset().with(&data.into()).unwrap())
        };
        for (annotations, before, after) in [
            (json!({}), 211, 100),
            (json!({BURST_CAPACITY: "0"}), 0, 0),
            (json!({BURST_CAPACITY: "-1"}), -1, -1),
            (json!({BURST_CAPACITY: "70.5"}), 71, 71),
        ] {
            let (sender, receiver) = watch::channel(Arc::new(Config::unset()));
            let mut scaling = Scaling::new(&workload(&annotations), receiver, Timestamp::now());
            assert_eq!(scaling.burst_capacity(), before);
            sender.send_replace(config("100"));
            scaling.reconfigured().await;
            assert_eq!(scaling.burst_capacity(), after);
        }
    }

    #[test]
    fn what_the_gateway_counted_for_a_predecessor_is_not_this_ones_load() {
        let (_sender, config) = watch::channel(Arc::new(Config::unset()));
        let mut now = Timestamp::now();
        let mut scaling = Scaling::new(&workload(&json!({})), config, now);
        let stats = Stats {
            request_time: Duration::from_secs(10_000),
            arrived_total: 1_000_000,
            ..Stats::default()
        };
        scaling.begin(&stats);
        let sight = Sight {
            census: Census {
                ready: 1,
                starting: 0,
            },
            demand: false,
            routed: true,
            given_up: false,
        };
        for _ in 0..20 {
            let decision = scaling.decide(&stats, &sight, now);
            assert!(!decision.panic);
            assert!(decision.desired <= 1, "{}", decision.why);
            now += Duration::from_secs(1);
        }
    }
}
