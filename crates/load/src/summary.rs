//! What came of a run, in figures. Written as `summary.json`, and read back by `vhive report`.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::generator::{Run, histogram};
use crate::{Failure, Outcome, Sample, Start};

/// Latencies in microseconds, of answers alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Half are at most this long.
    pub p50: f64,
    /// 90 of a hundred.
    pub p90: f64,
    /// 95 of a hundred.
    pub p95: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// 999 of a thousand.
    pub p999: f64,
    /// 9999 of ten thousand.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

impl Quantiles {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| microseconds(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            min: microseconds(histogram.min()),
            mean: rounded(histogram.mean() / 1e3),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: microseconds(histogram.max()),
        }
    }
}

fn microseconds(nanoseconds: u64) -> f64 {
    rounded(nanoseconds as f64 / 1e3)
}

/// To three decimals, which of microseconds are nanoseconds: what is finer is noise of the arithmetic.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// An endpoint's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Its name.
    pub hostname: String,
    /// Requests that were due.
    pub issued: u64,
    /// Requests without a good answer.
    pub failed: u64,
    /// Of its answers.
    pub latency: Quantiles,
}

/// Failures of one kind at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// As the field names it.
    pub kind: String,
    /// Where.
    pub endpoint: String,
    /// How many.
    pub count: u64,
    /// What was said at the first.
    pub message: String,
}

/// What was due in one second. Times are in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the beginning.
    pub second: u64,
    /// Requests due in it.
    pub issued: u64,
    /// Good answers that came in it, whenever their requests were due.
    pub completed: u64,
    /// Requests due in it that failed.
    pub failed: u64,
    /// Requests due in it that waited for an instance to start.
    pub cold: u64,
    /// Of those due in it, by their latency.
    pub p50: f64,
    /// Of those due in it, by their latency.
    pub p99: f64,
    /// Of those due in it, by their latency.
    pub max: f64,
    /// Instances of the functions that were ready at its end, where the API was asked.
    pub instances: Option<u64>,
}

/// All of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What wrote it.
    pub version: String,
    /// When, in RFC 3339.
    pub started: String,
    /// What was asked for, by name, to be shown as it is.
    pub settings: BTreeMap<String, String>,
    /// How long requests were sent, in seconds.
    pub seconds_sent: f64,
    /// Until the last was answered, or as long as they were sent if that is longer, in seconds.
    pub seconds_elapsed: f64,
    /// Requests a second that were asked for, where that is one number.
    pub target_rate: Option<f64>,
    /// Good answers a second of the time elapsed.
    pub real_rate: f64,
    /// Requests that were due.
    pub issued: u64,
    /// Good answers.
    pub completed: u64,
    /// The others.
    pub failed: u64,
    /// Of these, how many the generator sent later than it should have, and how much, in microseconds.
    pub late: Quantiles,
    /// The share of one processor that the generator took.
    pub processor: f64,
    /// Of all answers.
    pub latency: Quantiles,
    /// Of those that waited for an instance to start.
    pub cold: Quantiles,
    /// Of those that did not.
    pub warm: Quantiles,
    /// What the functions themselves took, where they were asked.
    pub function: Quantiles,
    /// Each endpoint's share.
    pub endpoints: Vec<Share>,
    /// Failures by kind and endpoint, most first.
    pub errors: Vec<Errors>,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// The distribution of latency: microseconds, and the fraction of answers that took at most so long.
    pub cdf: Vec<(f64, f64)>,
}

/// What a run cannot know of itself.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// See [`Summary::settings`].
    pub settings: BTreeMap<String, String>,
    /// See [`Summary::target_rate`].
    pub target_rate: Option<f64>,
    /// Instances that were ready, at moments since the beginning.
    pub instances: Vec<(Duration, u64)>,
}

impl Summary {
    /// The figures of a run.
    pub fn of(run: &Run, told: &Told) -> Self {
        let [mut all, mut cold, mut warm, mut function, mut late] =
            std::array::from_fn(|_| histogram());
        let mut endpoints: Vec<_> = run.hostnames.iter().map(|_| (0, 0, histogram())).collect();
        let mut failures: BTreeMap<(u32, Failure), u64> = BTreeMap::new();
        for sample in &run.samples {
            late.saturating_record(sample.late.into());
            let mut share = endpoints.get_mut(sample.endpoint as usize);
            if let Some(share) = &mut share {
                share.0 += 1;
            }
            match sample.outcome {
                Outcome::Failed(failure) => {
                    *failures.entry((sample.endpoint, failure)).or_default() += 1;
                    if let Some(share) = share {
                        share.1 += 1;
                    }
                }
                Outcome::Answered {
                    start,
                    function: own,
                } => {
                    all.saturating_record(sample.latency);
                    match start {
                        Start::Cold => cold.saturating_record(sample.latency),
                        Start::Warm => warm.saturating_record(sample.latency),
                        Start::Unknown => {}
                    }
                    if let Some(own) = own {
                        function.saturating_record(u64::from(own) * 1000);
                    }
                    if let Some(share) = share {
                        share.2.saturating_record(sample.latency);
                    }
                }
            }
        }
        let shares = run.hostnames.iter().zip(&endpoints);
        let issued = run.samples.len() as u64;
        let elapsed = run.elapsed.as_secs_f64();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: jiff::Timestamp::try_from(run.started)
                .unwrap_or_default()
                .to_string(),
            settings: told.settings.clone(),
            seconds_sent: run.length.as_secs_f64(),
            seconds_elapsed: elapsed,
            target_rate: told.target_rate,
            real_rate: if elapsed > 0.0 {
                rounded(all.len() as f64 / elapsed)
            } else {
                0.0
            },
            issued,
            completed: all.len(),
            failed: issued - all.len(),
            late: Quantiles::of(&late),
            processor: rounded(
                run.processor.as_secs_f64() / run.wall.as_secs_f64().max(f64::EPSILON),
            ),
            latency: Quantiles::of(&all),
            cold: Quantiles::of(&cold),
            warm: Quantiles::of(&warm),
            function: Quantiles::of(&function),
            endpoints: shares
                .map(|(hostname, (issued, failed, latency))| Share {
                    hostname: hostname.clone(),
                    issued: *issued,
                    failed: *failed,
                    latency: Quantiles::of(latency),
                })
                .collect(),
            errors: errors(run, &failures),
            seconds: seconds(run, &told.instances),
            cdf: distribution(&all),
        }
    }

    /// Whether there was a request, and none has a good answer.
    pub fn all_failed(&self) -> bool {
        self.issued > 0 && self.completed == 0
    }
}

fn errors(run: &Run, failures: &BTreeMap<(u32, Failure), u64>) -> Vec<Errors> {
    let mut errors: Vec<_> = failures
        .iter()
        .map(|((endpoint, failure), count)| Errors {
            kind: failure.to_string(),
            endpoint: run
                .hostnames
                .get(*endpoint as usize)
                .cloned()
                .unwrap_or_default(),
            count: *count,
            message: run
                .messages
                .get(&(*endpoint, *failure))
                .cloned()
                .unwrap_or_default(),
        })
        .collect();
    errors.sort_by_key(|errors| std::cmp::Reverse(errors.count));
    errors
}

/// Histograms of the latencies of what was due in each second, from the first to the last.
pub(crate) fn by_second(samples: &[Sample]) -> Vec<Histogram<u64>> {
    let mut seconds = Vec::new();
    for sample in samples {
        if let (Outcome::Answered { .. }, second) = (sample.outcome, second(sample.due)) {
            while seconds.len() <= second {
                seconds.push(histogram());
            }
            seconds[second].saturating_record(sample.latency);
        }
    }
    seconds
}

fn second(nanoseconds: u64) -> usize {
    (nanoseconds / 1_000_000_000) as usize
}

fn seconds(run: &Run, instances: &[(Duration, u64)]) -> Vec<Second> {
    let count = run.elapsed.as_secs_f64().ceil() as usize;
    let mut seconds: Vec<_> = (0..count)
        .map(|second| Second {
            second: second as u64,
            ..Second::default()
        })
        .collect();
    for sample in &run.samples {
        let failed = matches!(sample.outcome, Outcome::Failed(_));
        if let Some(due) = seconds.get_mut(second(sample.due)) {
            due.issued += 1;
            due.failed += u64::from(failed);
            let cold = matches!(
                sample.outcome,
                Outcome::Answered {
                    start: Start::Cold,
                    ..
                }
            );
            due.cold += u64::from(cold);
        }
        if !failed && let Some(ended) = seconds.get_mut(second(sample.due + sample.latency)) {
            ended.completed += 1;
        }
    }
    for (second, histogram) in seconds.iter_mut().zip(by_second(&run.samples)) {
        let of = Quantiles::of(&histogram);
        (second.p50, second.p99, second.max) = (of.p50, of.p99, of.max);
    }
    // What was seen last before the second's end.
    for second in &mut seconds {
        let end = Duration::from_secs(second.second + 1);
        let before = instances.iter().rev().find(|(at, _)| *at < end);
        second.instances = before.map(|(_, count)| *count);
    }
    seconds
}

/// As many points as a plot can show: steps of a hundredth, ever finer where there are few answers left.
fn distribution(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let mut fractions: Vec<f64> = (0..90).map(|part| f64::from(part) / 100.0).collect();
    let mut left = 0.1;
    while left * histogram.len() as f64 >= 1.0 {
        let tail = left;
        fractions.extend((0..18).map(|part| 1.0 - tail * (1.0 - f64::from(part) / 20.0)));
        left /= 10.0;
    }
    fractions.push(1.0);
    fractions
        .into_iter()
        .map(|fraction| {
            let value = microseconds(histogram.value_at_quantile(fraction));
            (value, (fraction * 1e9).round() / 1e9)
        })
        .collect()
}

/// A run that is always the same: some answers of two functions, one of them failing now and then.
#[cfg(test)]
pub(crate) fn example() -> (Run, Told) {
    use std::time::SystemTime;
    const MILLISECOND: u64 = 1_000_000;
    let sample = |nth: u64| {
        let endpoint = (nth % 2) as u32;
        let outcome = match nth {
            0 | 1 => Outcome::Answered {
                start: Start::Cold,
                function: Some(300),
            },
            13 | 27 => Outcome::Failed(Failure::Grpc(14)),
            21 => Outcome::Failed(Failure::Timeout),
            _ => Outcome::Answered {
                start: Start::Warm,
                function: Some(100 + nth as u32),
            },
        };
        Sample {
            due: nth * 100 * MILLISECOND,
            latency: match outcome {
                Outcome::Answered {
                    start: Start::Cold, ..
                } => 850 * MILLISECOND + nth,
                _ => MILLISECOND + nth * nth * 1000,
            },
            late: 20_000 + nth as u32,
            endpoint,
            outcome,
        }
    };
    let run = Run {
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
        length: Duration::from_secs(3),
        elapsed: Duration::from_millis(3001),
        processor: Duration::from_millis(300),
        wall: Duration::from_secs(3),
        samples: (0..30).map(sample).collect(),
        messages: [
            ((1, Failure::Grpc(14)), "no instance".to_owned()),
            ((1, Failure::Timeout), "no answer within 30 s".to_owned()),
        ]
        .into(),
        hostnames: vec![
            "helloworld-0.default.127.0.0.1.sslip.io".to_owned(),
            "pyaes-0.default.127.0.0.1.sslip.io".to_owned(),
        ],
    };
    let told = Told {
        settings: [("rps", "10"), ("arrivals", "constant")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        target_rate: Some(10.0),
        instances: vec![(Duration::ZERO, 0), (Duration::from_millis(1500), 2)],
    };
    (run, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cold_warm_and_failed_are_counted_apart() {
        let (run, told) = example();
        let summary = Summary::of(&run, &told);
        assert_eq!(
            (summary.issued, summary.completed, summary.failed),
            (30, 27, 3)
        );
        assert_eq!((summary.cold.count, summary.warm.count), (2, 25));
        assert_eq!(summary.function.count, 27);
        let kinds: Vec<_> = summary
            .errors
            .iter()
            .map(|it| (&*it.kind, it.count))
            .collect();
        assert_eq!(kinds, [("gRPC 14 UNAVAILABLE", 2), ("timed out", 1)]);
        assert_eq!(summary.errors[0].message, "no instance");
        assert_eq!(summary.endpoints[1].failed, 3);
        assert!((summary.real_rate - 8.997).abs() < 1e-9);
    }

    #[test]
    fn each_second_has_what_was_due_in_it_and_what_was_answered_in_it() {
        let (run, told) = example();
        let seconds = Summary::of(&run, &told).seconds;
        let issued: Vec<_> = seconds.iter().map(|it| it.issued).collect();
        assert_eq!(issued, [10, 10, 10, 0]);
        assert_eq!(seconds.iter().map(|it| it.completed).sum::<u64>(), 27);
        assert_eq!(seconds[0].cold, 2);
        let instances: Vec<_> = seconds.iter().map(|it| it.instances).collect();
        assert_eq!(instances, [Some(0), Some(2), Some(2), Some(2)]);
    }

    #[test]
    fn a_distribution_rises_to_one() {
        let (run, told) = example();
        let cdf = Summary::of(&run, &told).cdf;
        assert!(
            cdf.windows(2)
                .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1)
        );
        assert!((cdf.last().unwrap().1 - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_run_of_nothing_has_no_figures_and_is_no_failure() {
        let (mut run, told) = example();
        run.samples.clear();
        let summary = Summary::of(&run, &told);
        assert!(!summary.all_failed());
        assert_eq!(summary.latency, Quantiles::default());
        assert!(summary.cdf.is_empty());
    }
}
