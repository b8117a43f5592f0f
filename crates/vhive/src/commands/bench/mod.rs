//! `vhive bench`: measurements, each of two ways in one run, as ratios.

mod boot;
mod gateway;

use std::time::Duration;

use crate::cli::{Bench, Global};
use crate::exit::Outcome;
use crate::output;

pub(crate) async fn run(global: &Global, bench: &Bench) -> Outcome {
    match bench {
        Bench::Boot { rounds, node } => boot::run(global, *rounds, node).await,
        Bench::Gateway { requests } => gateway::run(*requests).await,
    }
}

/// Samples of one thing measured.
#[derive(Default)]
struct Samples(Vec<Duration>);

impl Samples {
    fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The sample below which `fraction` of all lie.
    fn quantile(&self, fraction: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let index = ((sorted.len().saturating_sub(1)) as f64 * fraction).round() as usize;
        sorted.get(index).copied().unwrap_or_default()
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
