//! Traces of invocations as comma-separated values: requests are made of them, or instances of requests simulated.

use std::time::Duration;

use super::Arrival;

/// Why a text is no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first line says nothing of what follows.
    #[error(
        "the first line is {0:?}: a trace begins with time_s,duration_s, or as Azure's do with names of which the last are the \
         minutes 1, 2, 3, …"
    )]
    Header(String),
    /// A line that is no invocation.
    #[error("line {line}: {text:?} is not a number from 0 to a million")]
    Number {
        /// From 1 on.
        line: usize,
        /// What is there instead.
        text: String,
    },
    /// A line with more or fewer values than there are names.
    #[error("line {line} has {found} values, and the first line names {expected}")]
    Width {
        /// From 1 on.
        line: usize,
        /// What it has.
        found: usize,
        /// What it should have.
        expected: usize,
    },
    /// There is no such function.
    #[error("no function of the trace has a hash that begins with {0:?}")]
    NoFunction(String),
    /// There is nothing in it.
    #[error("the trace has no invocation")]
    Empty,
}

const FUNCTION: &str = "HashFunction";
const EVENTS: [&str; 2] = ["time_s", "duration_s"];
/// The largest number that makes sense as seconds, or as invocations in a minute.
const MOST: f64 = 1e6;

/// Invocations by the second, or by the function and minute.
#[derive(Debug, Clone, PartialEq)]
pub enum Trace {
    /// Each by itself, in order.
    Events(Vec<Event>),
    /// For each function, how many in each minute: as in Azure's traces of 2019.
    Minutes(Vec<Function>),
}

/// One invocation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Seconds since the beginning.
    pub at: f64,
    /// Seconds that a function works on it.
    pub takes: f64,
}

/// One function of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its `HashFunction`; empty if the trace has none.
    pub hash: String,
    /// Invocations in each minute.
    pub counts: Vec<u32>,
}

impl Trace {
    /// Reads a trace: a line for each invocation, `time_s,duration_s`; or a line for each
    /// function with the number of invocations in each minute. Empty lines and those that begin with `#` are passed over.
    pub fn read(text: &str) -> Result<Self, Error> {
        let mut lines = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(number, line)| (number, line.split(',').map(str::trim).collect::<Vec<_>>()));
        let (_, names) = lines.next().ok_or(Error::Empty)?;
        let first = match first_minute(&names) {
            _ if names == EVENTS => None,
            Some(first) => Some(first),
            None => return Err(Error::Header(names.join(","))),
        };
        let (mut events, mut functions) = (Vec::new(), Vec::new());
        for (line, values) in lines {
            if values.len() != names.len() {
                return Err(Error::Width {
                    line,
                    found: values.len(),
                    expected: names.len(),
                });
            }
            let Some(first) = first else {
                let [at, takes] = [number(line, values[0])?, number(line, values[1])?];
                events.push(Event { at, takes });
                continue;
            };
            let hash = names.iter().position(|name| *name == FUNCTION);
            let counts = values[first..].iter();
            let counts = counts.map(|count| number(line, count).map(|count| count as u32));
            functions.push(Function {
                hash: hash.map_or("", |column| values[column]).to_owned(),
                counts: counts.collect::<Result<_, _>>()?,
            });
        }
        events.sort_by(|one, other| one.at.total_cmp(&other.at));
        match first {
            None => Self::Events(events),
            Some(_) => Self::Minutes(functions),
        }
        .not_empty()
    }

    /// The same with those functions alone whose hash begins with `hash`. A trace of single invocations names none, and is left as it is.
    pub fn of_functions(self, hash: &str) -> Result<Self, Error> {
        let Self::Minutes(mut functions) = self else {
            return Ok(self);
        };
        functions.retain(|function| function.hash.starts_with(hash));
        if functions.is_empty() {
            return Err(Error::NoFunction(hash.to_owned()));
        }
        Self::Minutes(functions).not_empty()
    }

    fn not_empty(self) -> Result<Self, Error> {
        let empty = match &self {
            Self::Events(events) => events.is_empty(),
            Self::Minutes(functions) => functions
                .iter()
                .flat_map(|it| &it.counts)
                .all(|count| *count == 0),
        };
        if empty { Err(Error::Empty) } else { Ok(self) }
    }

    /// How long it is, with minutes that take `minute`.
    pub fn length(&self, minute: Duration) -> Duration {
        let minutes = match self {
            // The last is within it.
            Self::Events(events) => events.last().map_or(0.0, |it| it.at) / 60.0 + 1e-9,
            Self::Minutes(functions) => {
                let minutes = functions.iter().map(|it| it.counts.len());
                minutes.max().unwrap_or(0) as f64
            }
        };
        minute.mul_f64(minutes)
    }

    /// All arrivals before `length`, in order. Where in its minute one was, Azure's traces do not say: anywhere, as from a Poisson process
    /// that is known to have had so many.
    pub(super) fn arrivals(&self, minute: Duration, length: Duration, seed: u64) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let at = |minutes: f64| minute.mul_f64(minutes);
        match self {
            Self::Events(events) => {
                arrivals.extend(events.iter().map(|event| Arrival {
                    at: at(event.at / 60.0),
                    function: None,
                }));
            }
            Self::Minutes(functions) => {
                let mut random = fastrand::Rng::with_seed(seed);
                for (function, it) in (0..).zip(functions) {
                    for (nth, count) in it.counts.iter().enumerate() {
                        arrivals.extend((0..*count).map(|_| Arrival {
                            at: at(nth as f64 + random.f64()),
                            function: Some(function),
                        }));
                    }
                }
                arrivals.sort_by_key(|arrival| arrival.at);
            }
        }
        arrivals.retain(|arrival| arrival.at < length);
        arrivals
    }
}

/// The first column that is a minute, if all from there on are.
fn first_minute(names: &[&str]) -> Option<usize> {
    let first = names.iter().position(|name| *name == "1")?;
    let mut all = names[first..].iter().zip(1u32..);
    all.all(|(name, minute)| *name == minute.to_string())
        .then_some(first)
}

fn number(line: usize, text: &str) -> Result<f64, Error> {
    let value = text.parse().ok();
    value
        .filter(|value| (0.0..=MOST).contains(value))
        .ok_or_else(|| Error::Number {
            line,
            text: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn invocations_are_read_one_by_one_and_sorted() {
        let trace = Trace::read("# two\ntime_s,duration_s\n\n1.5, 0.25\n0,2\n").unwrap();
        let events = [(0.0, 2.0), (1.5, 0.25)].map(|(at, takes)| Event { at, takes });
        assert_eq!(trace, Trace::Events(events.into()));
        let times = trace.arrivals(MINUTE, trace.length(MINUTE), 0);
        let times: Vec<_> = times.iter().map(|it| it.at.as_millis()).collect();
        assert_eq!(times, [0, 1500]);
        let fast = Duration::from_secs(6);
        let last = trace.arrivals(fast, trace.length(fast), 0).last().copied();
        assert_eq!(last.map(|it| it.at.as_millis()), Some(150));
    }

    #[test]
    fn counts_by_the_minute_are_each_functions_own() {
        let text =
            "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f1,http,2,0,1\no,a,g2,timer,0,1,0\n";
        let trace = Trace::read(text).unwrap();
        let of = |hash: &str, counts: [u32; 3]| Function {
            hash: hash.to_owned(),
            counts: counts.into(),
        };
        let both = vec![of("f1", [2, 0, 1]), of("g2", [0, 1, 0])];
        assert_eq!(trace, Trace::Minutes(both));
        let one = trace.clone().of_functions("g").unwrap();
        assert_eq!(one, Trace::Minutes(vec![of("g2", [0, 1, 0])]));
        let none = trace.clone().of_functions("h");
        assert_eq!(none, Err(Error::NoFunction("h".to_owned())));
        assert_eq!(trace.length(MINUTE), MINUTE * 3);
        let arrivals = trace.arrivals(MINUTE, MINUTE * 3, 1);
        let seen: Vec<_> = arrivals
            .iter()
            .map(|it| (it.function.unwrap(), it.at.as_secs() / 60))
            .collect();
        assert_eq!(seen, [(0, 0), (0, 0), (1, 1), (0, 2)]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("", "the trace has no invocation"),
            ("time_s,duration_s\n", "the trace has no invocation"),
            (
                "time_s,duration_s\nNaN,1\n",
                "line 2: \"NaN\" is not a number",
            ),
            (
                "time_s,duration_s\n1\n",
                "line 2 has 1 values, and the first line names 2",
            ),
            ("HashFunction,1\nf,0\n", "the trace has no invocation"),
            ("a,b\n1,2\n", "the first line is \"a,b\""),
            (
                "HashFunction,1,3\nf,1,1\n",
                "the first line is \"HashFunction,1,3\"",
            ),
            ("HashFunction,1\nf,x\n", "line 2: \"x\" is not a number"),
            (
                "time_s,duration_s\n-1,1\n",
                "line 2: \"-1\" is not a number",
            ),
            (
                "HashFunction,1,2\nf,1\n",
                "line 2 has 2 values, and the first line names 3",
            ),
        ] {
            let error = Trace::read(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_minute_has_as_many_as_its_count_says(
            functions in prop::collection::vec(prop::collection::vec(0u32..20, 4), 1..5), seed: u64,
        ) {
            let trace = functions.iter().map(|counts| Function { hash: String::new(), counts: counts.clone() });
            let trace = Trace::Minutes(trace.collect());
            let arrivals = trace.arrivals(MINUTE, MINUTE * 4, seed);
            let mut seen = vec![vec![0u32; 4]; functions.len()];
            for arrival in &arrivals {
                seen[arrival.function.unwrap() as usize][arrival.at.as_secs() as usize / 60] += 1;
            }
            prop_assert_eq!(seen, functions);
            prop_assert!(arrivals.windows(2).all(|pair| pair[0].at <= pair[1].at));
        }
    }
}
