//! Traces of invocations, as text of comma-separated values.

use std::time::Duration;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation {
    /// When it comes, since the beginning of the trace.
    pub at: Duration,
    /// How long an instance works on it.
    pub takes: Duration,
}

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

const EVENTS: [&str; 2] = ["time_s", "duration_s"];
const FUNCTION: &str = "HashFunction";
const MINUTE: f64 = 60.0;
/// The largest number that makes sense as seconds, or as invocations in a minute.
const MOST: f64 = 1e6;

/// Reads a trace: either a line for each invocation, `time_s,duration_s`; or a line for each function with the number of
/// invocations in each minute, as in Azure's traces of 2019, where `takes` is how long each is. Of the latter, those of one
/// function are taken, whose hash begins with `function`, or those of all. Empty lines and those that begin with `#` are passed
/// over.
pub fn read(text: &str, takes: Duration, function: Option<&str>) -> Result<Vec<Invocation>, Error> {
    let mut lines = (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number, line.split(',').map(str::trim).collect::<Vec<_>>()));
    let (_, names) = lines.next().ok_or(Error::Empty)?;
    let mut invocations = Vec::new();
    let mut found = function.is_none();
    let minutes = minutes(&names);
    for (line, values) in lines {
        if values.len() != names.len() {
            return Err(Error::Width {
                line,
                found: values.len(),
                expected: names.len(),
            });
        }
        if names == EVENTS {
            let [at, takes] = [number(line, values[0])?, number(line, values[1])?];
            invocations.push(Invocation { at, takes });
        } else if let Some(first) = minutes {
            let hash = names.iter().position(|name| *name == FUNCTION);
            let hash = hash.map_or("", |column| values[column]);
            if function.is_some_and(|wanted| !hash.starts_with(wanted)) {
                continue;
            }
            found = true;
            for (minute, count) in values[first..].iter().enumerate() {
                let count = number(line, count)?.as_secs();
                invocations.extend(spread(minute, count, takes));
            }
        } else {
            return Err(Error::Header(names.join(",")));
        }
    }
    if names != EVENTS && minutes.is_none() {
        return Err(Error::Header(names.join(",")));
    }
    if let (Some(function), false) = (function, found) {
        return Err(Error::NoFunction(function.to_owned()));
    }
    if invocations.is_empty() {
        return Err(Error::Empty);
    }
    invocations.sort_by_key(|invocation| invocation.at);
    Ok(invocations)
}

/// The first column that is a minute, if all from there on are.
fn minutes(names: &[&str]) -> Option<usize> {
    let first = names.iter().position(|name| *name == "1")?;
    let all = names[first..].iter().zip(1u32..);
    all.into_iter()
        .all(|(name, minute)| *name == minute.to_string())
        .then_some(first)
}

/// So many invocations at even distances in a minute: when in it they came, Azure's traces do not say.
fn spread(minute: usize, count: u64, takes: Duration) -> impl Iterator<Item = Invocation> {
    (0..count).map(move |nth| {
        let part = (nth as f64 + 0.5) / count as f64;
        Invocation {
            at: Duration::from_secs_f64(MINUTE * (minute as f64 + part)),
            takes,
        }
    })
}

fn number(line: usize, text: &str) -> Result<Duration, Error> {
    let value = text
        .parse()
        .ok()
        .filter(|value| (0.0..=MOST).contains(value));
    value
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Error::Number {
            line,
            text: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKES: Duration = Duration::from_millis(100);

    fn millis(text: &str, function: Option<&str>) -> Vec<(u128, u128)> {
        let read = read(text, TAKES, function).unwrap();
        read.iter()
            .map(|it| (it.at.as_millis(), it.takes.as_millis()))
            .collect()
    }

    #[test]
    fn invocations_are_read_one_by_one_and_sorted() {
        let text = "# two of them\ntime_s,duration_s\n\n1.5, 0.25\n0,2\n";
        assert_eq!(millis(text, None), [(0, 2000), (1500, 250)]);
    }

    #[test]
    fn counts_by_the_minute_are_spread_over_it() {
        let text =
            "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f1,http,2,0,1\no,a,g2,timer,0,1,0\n";
        assert_eq!(
            millis(text, None),
            [(15_000, 100), (45_000, 100), (90_000, 100), (150_000, 100)]
        );
        assert_eq!(millis(text, Some("g")), [(90_000, 100)]);
    }

    #[test]
    fn what_is_no_trace_is_refused_with_the_line() {
        let number = |line, text: &str| Error::Number {
            line,
            text: text.to_owned(),
        };
        for (text, function, expected) in [
            ("", None, Error::Empty),
            ("time_s,duration_s\n", None, Error::Empty),
            ("a,b\n1,2\n", None, Error::Header("a,b".to_owned())),
            ("f,1,3\nx,1,2\n", None, Error::Header("f,1,3".to_owned())),
            ("time_s,duration_s\n1,x\n", None, number(2, "x")),
            ("time_s,duration_s\n-1,1\n", None, number(2, "-1")),
            ("time_s,duration_s\nNaN,1\n", None, number(2, "NaN")),
            (
                "time_s,duration_s\n1\n",
                None,
                Error::Width {
                    line: 2,
                    found: 1,
                    expected: 2,
                },
            ),
            (
                "HashFunction,1\nf,1\n",
                Some("g"),
                Error::NoFunction("g".to_owned()),
            ),
        ] {
            assert_eq!(read(text, TAKES, function), Err(expected), "{text:?}");
        }
    }
}
