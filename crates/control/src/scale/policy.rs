//! What holds for the scale of one revision: its annotations over the configuration of all.

use std::str::FromStr;
use std::time::Duration;

use api::autoscaling;
use api::meta::StringMap;
use api::serving::annotation;
use api::settings::Autoscaler as Config;
use api::settings::autoscaler::LEAST_TARGET;
use jiff::SignedDuration;

use super::buckets::Aggregation;
use crate::reconcile::DEFAULT_PROGRESS_DEADLINE;

/// How much longer than its progress deadline a revision may take to become active: the deadline is found out first by who can
/// say why (`activationTimeoutBuffer` in knative.dev/serving `pkg/reconciler/autoscaling/kpa/scaler.go`).
const AFTER_THE_DEADLINE: Duration = Duration::from_secs(30);
/// The shortest that a window can be.
const SECOND: Duration = Duration::from_secs(1);

/// What a revision is scaled by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Metric {
    /// Requests at once, queued and in flight.
    #[default]
    Concurrency,
    /// Requests that come in a second.
    Rps,
}

/// What holds for the scale of one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What is looked at.
    pub metric: Metric,
    /// How seconds become one number.
    pub aggregation: Aggregation,
    /// Of the metric, what one instance is meant to get.
    pub target: f64,
    /// Of the metric, what one instance can take: the target without room to spare.
    pub total: f64,
    /// Requests that may come at once beyond those that are there, and be taken; −1 is without a limit.
    pub burst_capacity: f64,
    /// Time over which load is averaged, and for which what is active stays so.
    pub stable_window: Duration,
    /// Time over which a sudden load is seen.
    pub panic_window: Duration,
    /// How many times what is ready must be needed for a panic.
    pub panic_threshold: f64,
    /// By how much the number may be multiplied in one step.
    pub max_up_rate: f64,
    /// By how much it may be divided in one step.
    pub max_down_rate: f64,
    /// How long less must have been enough before less is wanted.
    pub down_delay: Duration,
    /// Fewest instances while traffic is routed to it.
    pub min: u32,
    /// Most instances; 0 is no limit.
    pub max: u32,
    /// Instances to start with, to show that it works.
    pub initial: u32,
    /// Fewest instances while load needs any; 0 and 1 ask for nothing.
    pub activation: u32,
    /// Whether there may be none.
    pub to_zero: bool,
    /// How long requests must have gone through the queue before the last instance goes.
    pub grace: Duration,
    /// How much longer than the window the last instance is kept while traffic is routed to it.
    pub retention: Duration,
    /// How long it may take to become active.
    pub activation_timeout: Duration,
}

impl Policy {
    /// Reads a revision's annotations; what is not there is as configured, and what cannot be read was refused before.
    pub fn of(annotations: &StringMap, container_concurrency: u32, config: &Config) -> Self {
        let given = |name| autoscaling::value(annotations, name);
        let number = |name, default| read(given(name)).unwrap_or(default);
        let count =
            |name, default: i32| read(given(name)).unwrap_or(u32::try_from(default).unwrap_or(0));
        let time = |name, default| {
            let given = given(name).and_then(api::duration::parse);
            given.unwrap_or_else(|| length(default))
        };
        let metric = match given("metric") {
            Some("rps") => Metric::Rps,
            _ => Metric::Concurrency,
        };
        let (target, total) = targets(annotations, metric, container_concurrency, config);
        let stable_window = time("window", config.stable_window);
        let share = number("panic-window-percentage", config.panic_window_percentage) / 100.0;
        let panic_window = (stable_window.as_secs_f64() * share).round();
        let deadline = annotations.get(annotation::PROGRESS_DEADLINE);
        let deadline = deadline.and_then(|text| api::duration::parse(text));
        let threshold = number(
            "panic-threshold-percentage",
            config.panic_threshold_percentage,
        );
        Self {
            metric,
            aggregation: match given("metric-aggregation-algorithm") {
                Some("weighted-exponential" | "weightedExponential") => {
                    Aggregation::WeightedExponential
                }
                _ => Aggregation::Linear,
            },
            target,
            total,
            burst_capacity: number("target-burst-capacity", config.target_burst_capacity),
            stable_window,
            panic_window: Duration::from_secs_f64(panic_window).max(SECOND),
            panic_threshold: threshold / 100.0,
            max_up_rate: config.max_scale_up_rate,
            max_down_rate: config.max_scale_down_rate,
            down_delay: time("scale-down-delay", config.scale_down_delay),
            min: count("min-scale", config.min_scale),
            max: limited(count("max-scale", config.max_scale), config),
            initial: initial(read(given("initial-scale")), config),
            activation: count("activation-scale", 0),
            to_zero: config.scale_to_zero,
            grace: length(config.scale_to_zero_grace_period),
            retention: time(
                "scale-to-zero-pod-retention-period",
                config.scale_to_zero_pod_retention_period,
            ),
            activation_timeout: deadline
                .unwrap_or(DEFAULT_PROGRESS_DEADLINE)
                .saturating_add(AFTER_THE_DEADLINE),
        }
    }
}

/// What one instance is meant to get, and what it can take (knative.dev/serving
/// `pkg/reconciler/autoscaling/resources/target.go`).
fn targets(
    annotations: &StringMap,
    metric: Metric,
    container_concurrency: u32,
    config: &Config,
) -> (f64, f64) {
    let given = |name| read::<f64>(autoscaling::value(annotations, name));
    let limit = (container_concurrency > 0).then_some(f64::from(container_concurrency));
    let (default, utilisation) = match metric {
        Metric::Concurrency => (
            limit.unwrap_or(config.concurrency_target),
            config.concurrency_utilisation,
        ),
        Metric::Rps => (config.rps_target, config.utilisation),
    };
    let mut total = given("target").unwrap_or(default);
    // A target is capped by the limit, which requests over it wait for.
    if let (Metric::Concurrency, Some(limit)) = (metric, limit) {
        total = total.min(limit);
    }
    let utilisation = given("target-utilization-percentage").map_or(utilisation, |it| it / 100.0);
    ((total * utilisation).max(LEAST_TARGET), total)
}

/// No more than the limit for all, which also bounds what asks for none.
fn limited(max: u32, config: &Config) -> u32 {
    match u32::try_from(config.max_scale_limit).unwrap_or(0) {
        0 => max,
        limit if max == 0 => limit,
        limit => max.min(limit),
    }
}

/// None only where that is allowed.
fn initial(given: Option<u32>, config: &Config) -> u32 {
    match given {
        Some(initial) if initial > 0 || config.allow_zero_initial_scale => initial,
        _ => u32::try_from(config.initial_scale).unwrap_or(1),
    }
}

fn length(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

fn read<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}
