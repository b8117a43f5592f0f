//! Why there should be so many instances, for people.

use std::fmt;
use std::time::Duration;

use super::policy::Metric;

/// What has decided the number: of all that bears on it, the last word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Nothing is known of the load yet.
    NoData,
    /// The load over the stable window.
    Load(Average),
    /// The load over the panic window, which is more.
    Panic(Average),
    /// Less would do, and in a panic nothing is taken away.
    HeldInPanic {
        /// What the load needs.
        needed: u32,
    },
    /// More is needed than one step may add.
    UpRate {
        /// What the load needs.
        needed: u32,
        /// Instances that answer.
        ready: u32,
        /// By how much they may be multiplied.
        rate: f64,
    },
    /// Less is needed than one step may take away.
    DownRate {
        /// What the load needs.
        needed: u32,
        /// Instances that answer.
        ready: u32,
        /// By how much they may be divided.
        rate: f64,
    },
    /// Less would do, but has not for long enough.
    DownDelay {
        /// What the load needs.
        needed: u32,
        /// How long it must have done.
        delay: Duration,
    },
    /// Requests wait, and nothing answers.
    Waiting {
        /// How many.
        queued: u32,
    },
    /// Fewer would do.
    Activation,
    /// Fewer would do.
    Min {
        /// How many.
        needed: u32,
    },
    /// More are needed.
    Max {
        /// How many.
        needed: u32,
    },
    /// It has to show first that it works.
    Initial,
    /// There is no load, and scaling to zero is switched off.
    ZeroIsOff,
    /// There is no load, and it is not active yet.
    Activating {
        /// How long it may take still.
        left: Duration,
    },
    /// There is no load, and it has not been active for as long as the window.
    Active {
        /// How much of it is left.
        left: Duration,
    },
    /// There is no load any more; the last instance is kept a while.
    Retention {
        /// How long.
        left: Duration,
    },
    /// There is no load any more; requests do not go through the queue for long enough.
    Grace {
        /// How long they have to, still.
        left: Duration,
    },
    /// There is no load.
    Idle,
    /// It did not become active in its time.
    TimedOut,
    /// It did not become ready in its time, and fails.
    GivenUp,
}

/// A load on average, and what one instance is meant to get of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Average {
    /// In what it is counted.
    pub metric: Metric,
    /// The load.
    pub observed: f64,
    /// For one instance.
    pub target: f64,
    /// The window.
    pub window: Duration,
}

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.metric {
            Metric::Concurrency => "requests at once",
            Metric::Rps => "requests a second",
        };
        write!(
            f,
            "{} {what} on average over {}, {} for each instance",
            Figure(self.observed),
            Seconds(self.window),
            Figure(self.target)
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData => f.write_str("nothing is known of the load yet"),
            Self::Load(average) => write!(f, "{average}"),
            Self::Panic(average) => write!(f, "panic: {average}"),
            Self::HeldInPanic { needed } => {
                write!(
                    f,
                    "panic: the load needs {needed}, and nothing is taken away until it is over"
                )
            }
            Self::UpRate {
                needed,
                ready,
                rate,
            } => {
                write!(
                    f,
                    "the load needs {needed}, max-scale-up-rate {rate} allows no more from {ready}"
                )
            }
            Self::DownRate {
                needed,
                ready,
                rate,
            } => {
                write!(
                    f,
                    "the load needs {needed}, max-scale-down-rate {rate} allows no fewer from {ready}"
                )
            }
            Self::DownDelay { needed, delay } => {
                write!(
                    f,
                    "the load needs {needed}, but more within the scale-down-delay of {}",
                    Seconds(*delay)
                )
            }
            Self::Waiting { queued } => {
                write!(f, "{queued} requests wait, and no instance answers")
            }
            Self::Activation => f.write_str("activation-scale: if any, then so many"),
            Self::Min { needed } => write!(f, "min-scale; the load needs {needed}"),
            Self::Max { needed } => write!(f, "max-scale; the load needs {needed}"),
            Self::Initial => f.write_str("initial-scale: it has to show that it works"),
            Self::ZeroIsOff => f.write_str("no load, and enable-scale-to-zero is false"),
            Self::Activating { left } => {
                write!(
                    f,
                    "no load, and not active yet: it has {} for that",
                    Seconds(*left)
                )
            }
            Self::Active { left } => {
                write!(
                    f,
                    "no load, but active for less than the window: {} to go",
                    Seconds(*left)
                )
            }
            Self::Retention { left } => {
                write!(
                    f,
                    "no load, the last one is retained for {}",
                    Seconds(*left)
                )
            }
            Self::Grace { left } => {
                write!(
                    f,
                    "no load, requests go through the queue since too short: {} to go",
                    Seconds(*left)
                )
            }
            Self::Idle => f.write_str("no load"),
            Self::TimedOut => f.write_str("it did not become active in time, and no request waits"),
            Self::GivenUp => f.write_str("it did not become ready in time, and no request waits"),
        }
    }
}

impl Reason {
    /// One word, which stays the same while the figures change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoData => "NoData",
            Self::Load(_) => "Load",
            Self::Panic(_) => "Panic",
            Self::HeldInPanic { .. } => "HeldInPanic",
            Self::UpRate { .. } => "MaxScaleUpRate",
            Self::DownRate { .. } => "MaxScaleDownRate",
            Self::DownDelay { .. } => "ScaleDownDelay",
            Self::Waiting { .. } => "Waiting",
            Self::Activation => "ActivationScale",
            Self::Min { .. } => "MinScale",
            Self::Max { .. } => "MaxScale",
            Self::Initial => "InitialScale",
            Self::ZeroIsOff => "ScaleToZeroOff",
            Self::Activating { .. } => "Activating",
            Self::Active { .. } => "Active",
            Self::Retention { .. } => "Retention",
            Self::Grace { .. } => "Grace",
            Self::Idle => "Idle",
            Self::TimedOut => "TimedOut",
            Self::GivenUp => "GivenUp",
        }
    }
}

/// A duration in seconds, whole ones if it is long; what is left of one is rounded up.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} s", self.0.as_secs_f64().ceil())
    }
}

/// A number with as many places as it takes to be told from zero, and no more than two.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        if rounded > 0.0 || self.0 <= 0.0 {
            write!(f, "{rounded}")
        } else {
            f.write_str("less than 0.01")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sentences_with_the_figures_that_decided() {
        let average = Average {
            metric: Metric::Concurrency,
            observed: 1.4,
            target: 0.7,
            window: Duration::from_secs(60),
        };
        let left = Duration::from_millis(1500);
        for (reason, expected) in [
            (
                Reason::Load(average),
                "1.4 requests at once on average over 60 s, 0.7 for each instance",
            ),
            (
                Reason::Panic(Average {
                    metric: Metric::Rps,
                    observed: 1e-4,
                    ..average
                }),
                "panic: less than 0.01 requests a second on average over 60 s, 0.7 for each instance",
            ),
            (
                Reason::UpRate {
                    needed: 100,
                    ready: 1,
                    rate: 10.0,
                },
                "the load needs 100, max-scale-up-rate 10 allows no more from 1",
            ),
            (
                Reason::Active { left },
                "no load, but active for less than the window: 2 s to go",
            ),
            (Reason::Min { needed: 0 }, "min-scale; the load needs 0"),
        ] {
            assert_eq!(reason.to_string(), expected);
        }
    }
}
