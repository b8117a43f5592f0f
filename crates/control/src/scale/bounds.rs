//! What a revision asks of its scale.

use std::str::FromStr;
use std::time::Duration;

use api::autoscaling;
use api::meta::StringMap;

/// Share of the target that is aimed at, so that there is room while another instance starts.
const UTILISATION: f64 = 0.7;
const DEFAULT_TARGET: f64 = 100.0;
const LEAST_TARGET: f64 = 0.01;
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);

/// What a revision's annotations and concurrency limit ask of its scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Requests at once that one instance should get.
    pub target: f64,
    /// Fewest instances while traffic is routed to it.
    pub min: u32,
    /// Most instances; 0 is no limit.
    pub max: u32,
    /// Instances to start with, to show that it works.
    pub initial: u32,
    /// Fewest instances while there are any; 0 and 1 ask for nothing.
    pub activation: u32,
    /// Time over which load is averaged, and without a request after which it goes to zero.
    pub window: Duration,
    /// How much longer than that the last instance is kept.
    pub retention: Duration,
}

impl Bounds {
    /// Reads the annotations; what is not there has its default, and what cannot be read was refused before.
    pub fn of(annotations: &StringMap, container_concurrency: u32) -> Self {
        let given = |name| autoscaling::value(annotations, name);
        let duration = |name| given(name).and_then(api::duration::parse);
        let limit = match container_concurrency {
            0 => None,
            limit => Some(f64::from(limit)),
        };
        // A target is capped by the limit, which requests over it wait for.
        let total = number(given("target")).unwrap_or(limit.unwrap_or(DEFAULT_TARGET));
        let total = limit.map_or(total, |limit| total.min(limit));
        let utilisation = number(given("target-utilization-percentage"))
            .map_or(UTILISATION, |percent: f64| percent / 100.0);
        Self {
            target: (total * utilisation).max(LEAST_TARGET),
            min: number(given("min-scale")).unwrap_or(0),
            max: number(given("max-scale")).unwrap_or(0),
            initial: number(given("initial-scale")).unwrap_or(1),
            activation: number(given("activation-scale")).unwrap_or(0),
            window: duration("window").unwrap_or(DEFAULT_WINDOW),
            retention: duration("scale-to-zero-pod-retention-period").unwrap_or(Duration::ZERO),
        }
    }
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_annotations_capped_by_the_limit_and_aimed_below() {
        for (target, utilisation, limit, expected) in [
            (None, None, 0, 70.0),
            (None, None, 10, 7.0),
            (Some("1"), None, 0, 0.7),
            (Some("50"), None, 10, 7.0),
            (Some("5"), Some("100"), 10, 5.0),
            (Some("0.01"), None, 0, 0.01),
        ] {
            let pairs = [
                ("target", target),
                ("target-utilization-percentage", utilisation),
            ];
            let annotations = pairs.into_iter().filter_map(|(name, value)| {
                Some((format!("{}{name}", autoscaling::PREFIX), value?.to_owned()))
            });
            let bounds = Bounds::of(&annotations.collect(), limit);
            assert!(
                (bounds.target - expected).abs() < 1e-9,
                "{target:?} {utilisation:?} {limit}: {}",
                bounds.target
            );
        }
    }
}
