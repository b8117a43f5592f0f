//! Requests and seconds as comma-separated values.

use std::fmt::Write as _;

use crate::{Outcome, Sample, Second, Start};

pub(super) fn requests(samples: &[Sample], hostnames: &[String]) -> String {
    let mut out = "due_s,latency_us,late_us,endpoint,start,function_us,error\n".to_owned();
    for sample in samples {
        let hostname = hostnames.get(sample.endpoint as usize);
        let (start, function, error) = match sample.outcome {
            Outcome::Answered { start, function } => (
                match start {
                    Start::Cold => "cold",
                    Start::Warm => "warm",
                    Start::Unknown => "",
                },
                function.map(|it| it.to_string()).unwrap_or_default(),
                String::new(),
            ),
            Outcome::Failed(failure) => ("", String::new(), failure.to_string()),
        };
        let _ = writeln!(
            out,
            "{:.6},{:.1},{:.1},{},{start},{function},{error}",
            sample.due as f64 / 1e9,
            sample.latency as f64 / 1e3,
            f64::from(sample.late) / 1e3,
            hostname.map_or("", String::as_str),
        );
    }
    out
}

pub(super) fn seconds(seconds: &[Second]) -> String {
    let mut out = "second,issued,completed,failed,cold,p50_us,p99_us,max_us,instances\n".to_owned();
    for it in seconds {
        let _ = writeln!(
            out,
            "{},{},{},{},{},{:.1},{:.1},{:.1},{}",
            it.second,
            it.issued,
            it.completed,
            it.failed,
            it.cold,
            it.p50,
            it.p99,
            it.max,
            it.instances.map(|it| it.to_string()).unwrap_or_default()
        );
    }
    out
}
