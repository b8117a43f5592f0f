//! The files of the original invoker: one number a line, in microseconds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::{Outcome, Sample};

/// `rps<REAL>_<NAME>`, in the folder that is named.
pub fn path(file: &Path, real_rate: f64) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!("rps{real_rate:.2}_{name}"))
}

/// The latencies of answers, in the order in which they came.
pub fn latencies(samples: &[Sample]) -> String {
    let mut out = String::new();
    for sample in samples {
        if matches!(sample.outcome, Outcome::Answered { .. }) {
            let _ = writeln!(out, "{}", sample.latency / 1000);
        }
    }
    out
}

/// What the functions themselves took, of the answers that say so.
pub fn durations(samples: &[Sample]) -> String {
    let mut out = String::new();
    for sample in samples {
        if let Outcome::Answered {
            function: Some(microseconds),
            ..
        } = sample.outcome
        {
            let _ = writeln!(out, "{microseconds}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;

    #[test]
    fn the_real_rate_is_in_the_name_to_two_decimals() {
        let named = |file: &str, rate| path(Path::new(file), rate).to_string_lossy().into_owned();
        assert_eq!(named("lat.csv", 19.996), "rps20.00_lat.csv");
        assert_eq!(named("out/lat.csv", 0.5), "out/rps0.50_lat.csv");
    }

    #[test]
    fn a_line_is_a_number_and_what_failed_has_none() {
        let (run, _) = summary::example();
        let text = latencies(&run.samples);
        assert!(text.starts_with("850000\n850000\n1004\n1009\n"), "{text}");
        assert_eq!(text.lines().count(), 27);
        let text = durations(&run.samples);
        assert!(text.starts_with("300\n300\n102\n"), "{text}");
    }
}
