//! How a command ends: an exit code, and for a failure what failed, its causes and the next step.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The command failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The object does not exist.
    NotFound = 3,
    /// A deadline passed; the code that `timeout(1)` uses.
    TimedOut = 124,
}

/// A failure with its exit code and, where there is one, the next step to take.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    error: anyhow::Error,
    hint: Option<String>,
}

/// A command was told to stop.
#[derive(Debug)]
struct Stopped(String);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stopped {}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
            hint: None,
        }
    }

    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, anyhow::anyhow!("{message}"))
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Code::Usage, anyhow::anyhow!("{message}"))
    }

    pub(crate) fn timed_out(message: impl fmt::Display) -> Self {
        Self::new(Code::TimedOut, anyhow::anyhow!("{message}"))
    }

    /// What was asked to stop before its end.
    pub(crate) fn stopped(message: impl fmt::Display) -> Self {
        Self::new(
            Code::Failed,
            anyhow::Error::new(Stopped(message.to_string())),
        )
    }

    /// Nothing else is to be tried then.
    pub(crate) fn is_stop(&self) -> bool {
        self.error.is::<Stopped>()
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }

    /// Adds the next step to take.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the failure on stderr and gives its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(self.code as u8)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Code::Failed, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        for cause in self.error.chain().skip(1) {
            write!(f, "\n  because: {cause}")?;
        }
        if let Some(hint) = self.hint.as_deref().or_else(|| next_step(&self.error)) {
            write!(f, "\n  next: {hint}")?;
        }
        Ok(())
    }
}

/// What to do about an error of the system's, whatever was being done.
fn next_step(error: &anyhow::Error) -> Option<&'static str> {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.find_map(|cause| match cause.kind() {
        PermissionDenied => {
            Some("run it with sudo, or as a user who may; --data-dir names a folder of your own")
        }
        StorageFull | QuotaExceeded => Some(
            "make room there: `vhive image gc` frees what no image needs; --data-dir names a folder elsewhere",
        ),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_its_causes_and_the_next_step() {
        let error = anyhow::anyhow!("connection refused").context("cannot reach the node");
        let failure = Failure::new(Code::Failed, error).hint("start it with `vhive up`");
        assert_eq!(
            failure.to_string(),
            "error: cannot reach the node\n  because: connection refused\n  next: start it with `vhive up`"
        );
    }

    #[test]
    fn what_the_system_refuses_has_a_next_step_wherever_it_happened() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let failure = Failure::from(anyhow::Error::new(full).context("cannot write x"));
        assert!(failure.to_string().contains("\n  next: make room there"));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(
            Failure::from(denied)
                .to_string()
                .contains("\n  next: run it with sudo")
        );
        assert!(
            !Failure::from(anyhow::anyhow!("other"))
                .to_string()
                .contains("next")
        );
    }
}
