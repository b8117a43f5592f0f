//! The page server beside a bare loop of the same system calls, a copy in memory and a read from the disk.

use anyhow::Context;
use memory::measure::{Measurement, Plan, Samples, measure};

use super::{lab, verdict};
use crate::cli::Global;
use crate::exit::Outcome;
use crate::{host, output};

pub(super) async fn run(global: &Global, repetitions: usize) -> Outcome {
    host::make_data_dir(&global.data_dir)?;
    let plan = Plan {
        repetitions,
        ..Plan::in_folder(&global.data_dir)
    };
    println!(
        "{} MiB in runs of {} pages, {repetitions} times, in turns; {}",
        plan.pages >> 8,
        plan.run,
        lab::machine()
    );
    let found = tokio::task::spawn_blocking(move || measure(&plan, |_| {}))
        .await
        .context("the measurement ended")??;
    report(&found)
}

fn report(found: &Measurement) -> Outcome {
    let micros = |samples: &Samples| spread(samples, "µs", |seconds| seconds * 1e6);
    let millis = |samples: &Samples| spread(samples, "ms", |seconds| seconds * 1e3);
    let gigabytes = found.bytes as f64 / 1e9;
    let rate = |samples: &Samples| spread(samples, "GB/s", |seconds| gigabytes / seconds);
    let fault = found.fault.ratio().median();
    let bulk = 1.0 / found.bulk.ratio().median();
    let rows = [
        ["one fault, server".to_owned(), micros(&found.fault.server)],
        ["one fault, bare loop".to_owned(), micros(&found.fault.bare)],
        ["installation, server".to_owned(), rate(&found.bulk.server)],
        ["installation, bare loop".to_owned(), rate(&found.bulk.bare)],
        ["memcpy".to_owned(), rate(&found.memcpy)],
        [
            "read and installed, reap, cold".to_owned(),
            millis(&found.reap),
        ],
        [
            "read and installed, paper, cold".to_owned(),
            millis(&found.paper),
        ],
        ["only read, cold".to_owned(), millis(&found.read)],
        ["mapped, cold".to_owned(), millis(&found.mapped_cold)],
        ["mapped, warm".to_owned(), millis(&found.mapped_warm)],
    ];
    output::say(output::table(["", "MEDIAN AND QUARTILES"], rows))?;
    println!(
        "fault over bare loop {fault:.2} ({})",
        verdict(fault <= 1.15, "target ≤ 1.15")
    );
    println!(
        "installation over bare loop {bulk:.2} ({})",
        verdict(bulk >= 0.9, "target ≥ 0.9")
    );
    println!(
        "reap over paper, cold {:.2}",
        found.reap.median() / found.paper.median()
    );
    Ok(())
}

fn spread(samples: &Samples, unit: &str, of: impl Fn(f64) -> f64) -> String {
    let (lower, upper) = samples.quartiles();
    let (lower, upper) = (of(lower).min(of(upper)), of(lower).max(of(upper)));
    format!(
        "{:.2} {unit} ({lower:.2} to {upper:.2})",
        of(samples.median())
    )
}
