//! Checks: they look, and change nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::Host;
use super::error::Error;
use super::process;
use crate::plan::{Check, Command};

/// Whether it is so.
pub(super) fn holds(host: &Host, check: &Check) -> bool {
    let prints = |command: &Command, text: &str| {
        let ended = process::run(command, &host.journal).ok()?;
        ended.success.then(|| ended.stdout.contains(text))
    };
    match check {
        Check::Succeeds(command) => process::succeeds(command, &host.journal),
        Check::Prints { command, text } => prints(command, text).unwrap_or(false),
        Check::PrintsNot { command, text } => prints(command, text).is_some_and(|found| !found),
        Check::Exists(path) => path.exists(),
        Check::Absent(path) => !path.exists(),
        Check::Contains { path, text } => {
            fs::read_to_string(path).is_ok_and(|found| found.contains(text))
        }
    }
}

/// Looks until it is so.
pub(super) fn wait(
    host: &Host,
    what: &'static str,
    check: &Check,
    timeout: Duration,
) -> Result<(), Error> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(100);
    while !holds(host, check) {
        if begun.elapsed() >= timeout {
            return Err(Error::TimedOut {
                what,
                seconds: timeout.as_secs(),
                last: last(host, check),
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(2));
    }
    Ok(())
}

/// What is seen instead.
fn last(host: &Host, check: &Check) -> String {
    match check {
        Check::Succeeds(command)
        | Check::Prints { command, .. }
        | Check::PrintsNot { command, .. } => match process::succeed(command, &host.journal) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        },
        Check::Exists(path) => format!("there is no {}", path.display()),
        Check::Absent(path) => format!("there is {}", path.display()),
        Check::Contains { path, text } => format!("{} does not have {text:?}", path.display()),
    }
}
