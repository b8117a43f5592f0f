//! `vhive bench`: measurements, each of several ways in one run, as ratios.

mod autoscale;
mod boot;
mod burst;
mod chaos;
mod coldstart;
mod control;
mod gateway;
mod lab;
mod lines;
mod load;
mod node_process;
mod pages;
mod plot;
mod scale;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::cli::{Bench, Global};
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(global: &Global, bench: &Bench) -> Outcome {
    match bench {
        Bench::Autoscale(args) => autoscale::run(args),
        Bench::Boot { rounds, node } => boot::run(global, *rounds, node).await,
        Bench::Chaos(args) => chaos::run(global, args).await,
        Bench::Coldstart(args) => coldstart::run(global, args).await,
        Bench::Pages { repetitions } => pages::run(global, *repetitions).await,
        Bench::Scale(args) => scale::run(global, args).await,
        Bench::Control(args) => control::run(global, args).await,
        Bench::Gateway(args) => gateway::run(args).await,
        Bench::Burst(args) => burst::run(global, args).await,
        Bench::Load(args) => load::run(args).await,
    }
}

/// Samples of one thing measured.
#[derive(Debug, Default)]
struct Samples(Vec<Duration>);

impl Samples {
    fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The sample below which `fraction` of all lie; between two samples, in proportion.
    fn quantile(&self, fraction: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let place = fraction * sorted.len().saturating_sub(1) as f64;
        let at = |index: f64| sorted.get(index as usize).copied().unwrap_or_default();
        let (below, above) = (at(place.floor()), at(place.ceil()));
        below + above.saturating_sub(below).mul_f64(place.fract())
    }

    fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Name, minimum, median, 99th percentile, maximum.
    fn row(&self, name: &str) -> Vec<String> {
        let mut row = vec![name.to_owned()];
        row.extend([0.0, 0.5, 0.99, 1.0].map(|fraction| output::duration(self.quantile(fraction))));
        row
    }
}

fn print(samples: &[(&str, &Samples)]) {
    let rows = samples.iter().map(|(name, samples)| samples.row(name));
    println!(
        "{}",
        output::table(["", "MIN", "MEDIAN", "P99", "MAX"], rows)
    );
}

/// Whether the status of a service speaks of what is asked for, and says that it is ready.
fn is_ready(service: &Value) -> bool {
    let conditions = service.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    service["status"]["observedGeneration"] == service["metadata"]["generation"]
        && conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Whether a target is met, with what it is.
fn verdict(met: bool, target: &str) -> String {
    format!("{target}: {}", if met { "met" } else { "missed" })
}

/// `given`, or a file in the current directory that is named after the bench and the time.
fn file_for_values(given: Option<&Path>, bench: &str) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    given.map_or_else(
        || PathBuf::from(format!("{bench}-{now}.csv")),
        Path::to_owned,
    )
}

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    output::say(format_args!("wrote {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_ready_when_its_status_speaks_of_what_is_asked_for() {
        let service = |observed: i64, ready: &str| {
            json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed,
                "conditions": [{"type": "ConfigurationsReady", "status": "True"}, {"type": "Ready", "status": ready}]}})
        };
        assert!(is_ready(&service(2, "True")));
        assert!(!is_ready(&service(1, "True")));
        assert!(!is_ready(&service(2, "Unknown")));
        assert!(!is_ready(&json!({"metadata": {"generation": 2}})));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let samples = Samples([40, 10, 20, 30].map(Duration::from_millis).to_vec());
        assert_eq!(samples.median(), Duration::from_millis(25));
        assert_eq!(samples.quantile(1.0), Duration::from_millis(40));
        assert_eq!(Samples::default().median(), Duration::ZERO);
    }
}
