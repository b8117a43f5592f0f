//! The tables at the end of a run.

use std::time::Duration;

use load::{Quantiles, Summary};

use crate::output;

/// More endpoints than this have no row of their own: they are in the files.
const ENDPOINTS: usize = 20;
/// A generator that is later than this is what is measured.
const LATE_MICROSECONDS: f64 = 1000.0;

pub(super) fn latencies(summary: &Summary) -> String {
    let mut rows = vec![row("all", &summary.latency)];
    for (name, quantiles) in [
        ("cold", &summary.cold),
        ("warm", &summary.warm),
        ("function", &summary.function),
    ] {
        if quantiles.count > 0 {
            rows.push(row(name, quantiles));
        }
    }
    if (2..=ENDPOINTS).contains(&summary.endpoints.len()) {
        let shares = summary.endpoints.iter();
        rows.extend(shares.map(|it| row(&it.hostname, &it.latency)));
    }
    let header = [
        "LATENCY", "COUNT", "MIN", "P50", "P90", "P99", "P99.9", "P99.99", "MAX",
    ];
    output::table(header, rows)
}

fn row(name: &str, of: &Quantiles) -> Vec<String> {
    let mut row = vec![name.to_owned(), of.count.to_string()];
    let values = [of.min, of.p50, of.p90, of.p99, of.p999, of.p9999, of.max];
    row.extend(values.map(|microseconds| match of.count {
        0 => "-".to_owned(),
        _ => output::duration(Duration::from_secs_f64(microseconds / 1e6)),
    }));
    row
}

pub(super) fn errors(summary: &Summary) -> String {
    let rows = summary.errors.iter().map(|it| {
        [
            it.kind.clone(),
            it.count.to_string(),
            it.endpoint.clone(),
            it.message.clone(),
        ]
    });
    output::table(["ERROR", "COUNT", "ENDPOINT", "FIRST"], rows)
}

/// When it was the generator that took the time.
pub(super) fn warning(summary: &Summary) -> Option<String> {
    let late = summary.late.p99;
    (late > LATE_MICROSECONDS).then(|| {
        let late = output::duration(Duration::from_secs_f64(late / 1e6));
        format!(
            "one request of a hundred was sent {late} late or later, with {:.0} % of a processor: this machine, and not the functions, \
             may be what is measured",
            summary.processor * 100.0
        )
    })
}
