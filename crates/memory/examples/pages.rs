//! Measures the page server: `cargo run --release -p memory --example pages -- FOLDER`.

use std::path::PathBuf;

use memory::measure::{Compared, Plan, Samples, measure};

fn main() {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let threads = std::env::args().nth(2).and_then(|n| n.parse().ok());
    let mut plan = Plan::in_folder(&folder);
    plan.threads = threads.unwrap_or(plan.threads);
    let found = match measure(&plan, |_| {}) {
        Ok(found) => found,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            eprintln!("{error}: {}", cause.unwrap_or_default());
            std::process::exit(1);
        }
    };
    let gigabytes = found.bytes as f64 / 1e9;
    println!("{plan:?}");
    compared("fault, µs", &found.fault, |seconds| seconds * 1e6);
    compared("bulk, GB/s", &found.bulk, |seconds| gigabytes / seconds);
    one("memcpy, GB/s", &found.memcpy, |seconds| gigabytes / seconds);
    one("reap cold, ms", &found.reap, |seconds| seconds * 1e3);
    one("paper cold, ms", &found.paper, |seconds| seconds * 1e3);
    one("read cold, ms", &found.read, |seconds| seconds * 1e3);
    one("mapped cold, ms", &found.mapped_cold, |seconds| {
        seconds * 1e3
    });
    one("mapped warm, ms", &found.mapped_warm, |seconds| {
        seconds * 1e3
    });
}

fn one(name: &str, samples: &Samples, unit: impl Fn(f64) -> f64) {
    let (lower, upper) = samples.quartiles();
    println!(
        "{name:16} {:8.3}   quartiles {:.3} {:.3}",
        unit(samples.median()),
        unit(lower),
        unit(upper)
    );
}

fn compared(name: &str, compared: &Compared, unit: impl Fn(f64) -> f64 + Copy) {
    one(&format!("{name} server"), &compared.server, unit);
    one(&format!("{name} bare"), &compared.bare, unit);
    one("  time ratio", &compared.ratio(), |ratio| ratio);
}
