//! When requests are due: a function of a rate, a length and a seed, and of nothing else.

mod trace;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use trace::{Error as TraceError, Event, Function, Trace};

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Since the beginning.
    pub at: Duration,
    /// Of which function of a trace, by its line from 0 on; without, endpoints take turns.
    pub function: Option<u32>,
}

/// How requests at a mean rate are distributed over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// At even distances.
    Constant,
    /// Independent of each other: the distances are distributed exponentially.
    Poisson,
    /// So many at once, at even distances.
    Burst(u32),
}

/// What is no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not constant, poisson or burst:SIZE")]
pub struct UnknownProcess(String);

impl FromStr for Process {
    type Err = UnknownProcess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size = text.strip_prefix("burst:").map(str::parse);
        match (text, size) {
            ("constant", _) => Ok(Self::Constant),
            ("poisson", _) => Ok(Self::Poisson),
            (_, Some(Ok(size))) if size > 0 => Ok(Self::Burst(size)),
            _ => Err(UnknownProcess(text.to_owned())),
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Poisson => f.write_str("poisson"),
            Self::Burst(size) => write!(f, "burst:{size}"),
        }
    }
}

/// Requests in the order in which they are due.
#[derive(Debug, Clone)]
pub struct Schedule {
    kind: Kind,
    length: Duration,
    /// Arrivals given so far.
    count: u64,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `size` at each multiple of `gap` seconds.
    Regular {
        size: u64,
        gap: f64,
    },
    /// The last arrival, in seconds, and the mean distance.
    Poisson {
        random: fastrand::Rng,
        last: f64,
        mean: f64,
    },
    Trace(std::vec::IntoIter<Arrival>),
}

impl Schedule {
    /// Requests at `rate` a second on average, from 0 to before `length`. The same seed gives the same ones. A rate that is no positive
    /// number gives none.
    pub fn of(process: Process, rate: f64, length: Duration, seed: u64) -> Self {
        let possible = rate.is_finite() && rate > 0.0;
        let gap = if possible {
            rate.recip()
        } else {
            f64::INFINITY
        };
        let kind = match process {
            Process::Constant => Kind::Regular { size: 1, gap },
            Process::Burst(size) => Kind::Regular {
                size: size.into(),
                gap: gap * f64::from(size),
            },
            Process::Poisson => Kind::Poisson {
                random: fastrand::Rng::with_seed(seed),
                last: 0.0,
                mean: gap,
            },
        };
        Self {
            kind,
            length: if possible { length } else { Duration::ZERO },
            count: 0,
        }
    }

    /// The requests of a trace up to before `length`, with minutes that take `minute`. Within a minute they are anywhere, as the seed has it.
    pub fn replay(trace: &Trace, minute: Duration, length: Duration, seed: u64) -> Self {
        let arrivals = trace.arrivals(minute, length, seed);
        Self {
            kind: Kind::Trace(arrivals.into_iter()),
            length,
            count: 0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let seconds = match &mut self.kind {
            Kind::Trace(arrivals) => return arrivals.next(),
            // Multiplied and not added up, so that nothing adds up to a drift.
            Kind::Regular { size, gap } => (self.count / *size) as f64 * *gap,
            Kind::Poisson { random, last, mean } => {
                // From above 0 to 1, so that the logarithm is finite.
                *last -= (1.0 - random.f64()).ln() * *mean;
                *last
            }
        };
        let at = Duration::try_from_secs_f64(seconds).ok()?;
        if at >= self.length {
            return None;
        }
        self.count += 1;
        Some(Arrival { at, function: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn process() -> impl Strategy<Value = Process> {
        prop_oneof![
            Just(Process::Constant),
            Just(Process::Poisson),
            (1u32..500).prop_map(Process::Burst),
        ]
    }

    #[test]
    fn a_constant_rate_is_at_even_distances_from_zero_on() {
        let schedule = Schedule::of(Process::Constant, 4.0, Duration::from_secs(1), 0);
        let times: Vec<_> = schedule.map(|it| it.at.as_millis()).collect();
        assert_eq!(times, [0, 250, 500, 750]);
    }

    #[test]
    fn bursts_are_at_once_and_keep_the_rate() {
        let schedule = Schedule::of(Process::Burst(3), 6.0, Duration::from_secs(1), 0);
        let times: Vec<_> = schedule.map(|it| it.at.as_millis()).collect();
        assert_eq!(times, [0, 0, 0, 500, 500, 500]);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["constant", "poisson", "burst:7"] {
            assert_eq!(name.parse::<Process>().unwrap().to_string(), name);
        }
        for name in ["burst", "burst:0", "burst:-1", "Poisson", ""] {
            assert!(name.parse::<Process>().is_err(), "{name}");
        }
    }

    #[test]
    fn poisson_distances_are_as_spread_as_they_are_long() {
        // The standard deviation of an exponential distribution is its mean. 5 % is eleven times the error of so many.
        let schedule = Schedule::of(Process::Poisson, 1000.0, Duration::from_secs(50), 7);
        let times: Vec<_> = schedule.map(|it| it.at.as_secs_f64()).collect();
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 1000.0 - 1.0).abs() < 0.05, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn what_is_no_rate_gives_no_request() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let schedule = Schedule::of(Process::Poisson, rate, Duration::from_secs(9), 0);
            assert_eq!(schedule.count(), 0, "{rate}");
        }
    }

    proptest! {
        #[test]
        fn arrivals_are_in_order_within_the_length_and_the_same_for_a_seed(
            process in process(), rate in 0.1f64..5000.0, millis in 0u64..3000, seed: u64,
        ) {
            let length = Duration::from_millis(millis);
            let all: Vec<_> = Schedule::of(process, rate, length, seed).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
            prop_assert!(all.iter().all(|arrival| arrival.at < length));
            let again: Vec<_> = Schedule::of(process, rate, length, seed).collect();
            prop_assert_eq!(all, again);
        }

        #[test]
        fn regular_processes_keep_their_rate_exactly(
            size in 1u32..50, rate in 0.5f64..5000.0, seconds in 1u64..4,
        ) {
            let schedule = Schedule::of(Process::Burst(size), rate, Duration::from_secs(seconds), 0);
            let expected = rate * seconds as f64;
            prop_assert!((schedule.count() as f64 - expected).abs() <= f64::from(size));
        }

        #[test]
        fn poisson_keeps_its_rate_within_six_deviations(rate in 1.0f64..5000.0, seed: u64) {
            let schedule = Schedule::of(Process::Poisson, rate, Duration::from_secs(2), seed);
            let expected = rate * 2.0;
            // The number of arrivals has its mean for a variance; 6 more for what few arrivals are skewed by.
            let off = (schedule.count() as f64 - expected).abs();
            prop_assert!(off <= 6.0 * expected.sqrt() + 6.0);
        }
    }
}
