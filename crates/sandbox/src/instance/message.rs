//! What a user is told about a failure: what happened, what to do, and what was said last.

use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use vmm::ExitInfo;

use super::TAIL;
use crate::chain;
use crate::config::Probe;
use crate::state::{Exit, Failure, Reason};

/// What is known when an instance fails.
#[derive(Debug)]
pub(super) struct Circumstances<'a> {
    /// What the failed part said of itself.
    pub(super) detail: Option<&'a str>,
    /// The last lines the function printed.
    pub(super) log: Vec<&'a str>,
    /// The last lines of the guest's console, or of the hypervisor.
    pub(super) console: Vec<&'a str>,
    /// The hypervisor's name.
    pub(super) hypervisor: &'a str,
    pub(super) boot_deadline: Duration,
    pub(super) ready_deadline: Duration,
    pub(super) memory_mib: u32,
    /// What was waited for.
    pub(super) probe: &'a Probe,
}

/// Puts a failure into words.
pub(super) fn failure(reason: Reason, about: &Circumstances<'_>) -> Failure {
    let detail = about.detail.unwrap_or("no more is known");
    let hypervisor = about.hypervisor;
    let mut message = match reason {
        Reason::Refused => format!("the instance was refused: {detail}"),
        Reason::NetworkFailed => format!("the instance's network could not be made: {detail}"),
        Reason::HypervisorFailed => format!("{hypervisor} did not start: {detail}"),
        Reason::BootTimedOut => format!(
            "the guest did not get as far as starting the function within {:?}; on a slow host, allow a longer boot",
            about.boot_deadline
        ),
        Reason::AgentProtocol => format!("the guest's agent failed: {detail}"),
        Reason::StartFailed => format!("the function could not be started: {detail}"),
        Reason::ExitedEarly(exit) => format!("the function {exit} before it was ready"),
        Reason::NeverListened if about.detail.is_some() => {
            format!("the function did not start: {detail}")
        }
        Reason::NeverListened => format!(
            "the function was not ready within {:?}: {}",
            about.ready_deadline,
            expected(about.probe)
        ),
        Reason::Exited(exit) => format!("the function {exit}"),
        Reason::Unhealthy => format!("the function does not work any more: {detail}"),
        Reason::OutOfMemory => format!(
            "the function ran out of memory, of which its guest has {} MiB; give it more with \
             resources.limits.memory",
            about.memory_mib
        ),
        Reason::HypervisorDied => format!("{hypervisor} ended unexpectedly: {detail}"),
        Reason::MemoryLost => format!("the guest's memory could no longer be served: {detail}"),
        Reason::RestoreFailed => format!(
            "the instance could not be restored from its snapshot, which is not used again: {detail}"
        ),
        Reason::SaveFailed => {
            format!("the instance did not come back after its snapshot was taken: {detail}")
        }
    };

    match reason {
        Reason::ExitedEarly(_)
        | Reason::NeverListened
        | Reason::Exited(_)
        | Reason::Unhealthy
        | Reason::OutOfMemory => quote(&mut message, "it printed last", &about.log),
        Reason::BootTimedOut
        | Reason::AgentProtocol
        | Reason::HypervisorDied
        | Reason::MemoryLost
        | Reason::RestoreFailed
        | Reason::SaveFailed => {
            quote(
                &mut message,
                "the guest's console ends with",
                &about.console,
            );
        }
        Reason::Refused
        | Reason::NetworkFailed
        | Reason::HypervisorFailed
        | Reason::StartFailed => {}
    }
    Failure {
        reason,
        message,
        exit_code: match reason {
            Reason::ExitedEarly(Exit { code, .. }) | Reason::Exited(Exit { code, .. }) => code,
            _ => None,
        },
    }
}

/// What a function that is not ready has to do.
pub(super) fn expected(probe: &Probe) -> String {
    match probe {
        Probe::Tcp { port } => {
            format!("it must listen on port {port} (the value of $PORT), on all addresses")
        }
        Probe::Http { port, path, .. } => format!(
            "it must answer GET {path} on port {port}, on all addresses, with a status from 200 to 399"
        ),
        Probe::Grpc { port, service } => format!(
            "it must answer grpc.health.v1.Health/Check for {service:?} on port {port}, on all addresses, with SERVING"
        ),
        Probe::Exec { command, .. } => format!(
            "the command {:?} must end with exit code 0 in it",
            command.join(" ")
        ),
        Probe::None => "it never started".into(),
    }
}

/// The end of a hypervisor.
#[derive(Debug)]
pub(super) struct Death {
    /// How it ended, with what it said.
    pub(super) detail: String,
    /// The end of its guest's console.
    pub(super) console: String,
    /// It was killed by somebody else.
    pub(super) killed: bool,
}

/// SIGKILL and SIGTERM, which come from outside; a hypervisor that fails is ended by others.
const FROM_OUTSIDE: [i32; 2] = [9, 15];

/// Puts the end of a hypervisor into words.
pub(super) fn death(end: Result<ExitInfo, vmm::Error>) -> Death {
    match end {
        Ok(info) => {
            let mut detail = info.status.to_string();
            if let Some(reason) = &info.reason {
                let _ = write!(detail, ", {reason}");
            }
            quote(&mut detail, "it said", &last_lines(&info.stderr_tail));
            Death {
                detail,
                console: info.console_tail,
                killed: info
                    .status
                    .signal()
                    .is_some_and(|signal| FROM_OUTSIDE.contains(&signal)),
            }
        }
        Err(error) => Death {
            detail: chain(&error),
            console: String::new(),
            killed: false,
        },
    }
}

/// The last few lines of a text that say something.
pub(super) fn last_lines(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL)..].to_vec()
}

fn quote(message: &mut String, what: &str, lines: &[&str]) {
    if lines.is_empty() {
        return;
    }
    // Writing to a string does not fail.
    let _ = write!(message, "; {what}:");
    for line in lines {
        let _ = write!(message, "\n  {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failure that nobody said anything about.
    fn quiet() -> Circumstances<'static> {
        Circumstances {
            detail: None,
            log: Vec::new(),
            console: Vec::new(),
            hypervisor: "qemu",
            boot_deadline: Duration::from_secs(30),
            ready_deadline: Duration::from_secs(60),
            memory_mib: 128,
            probe: &Probe::Tcp { port: 8080 },
        }
    }

    #[test]
    fn a_crash_quotes_the_log_and_carries_the_code() {
        let failure = failure(
            Reason::ExitedEarly(Exit {
                code: Some(1),
                signal: None,
            }),
            &Circumstances {
                log: vec!["Traceback:", "ImportError: no module named flask"],
                console: vec!["noise"],
                ..quiet()
            },
        );
        assert_eq!(
            failure.message,
            "the function exited with code 1 before it was ready; it printed last:\n  \
             Traceback:\n  ImportError: no module named flask"
        );
        assert_eq!(failure.exit_code, Some(1));
    }

    #[test]
    fn a_dead_hypervisor_quotes_the_console_and_not_the_log() {
        let failure = failure(
            Reason::HypervisorDied,
            &Circumstances {
                detail: Some("exit status: 1"),
                log: vec!["all is well"],
                console: vec!["Kernel panic - not syncing"],
                ..quiet()
            },
        );
        assert_eq!(
            failure.message,
            "qemu ended unexpectedly: exit status: 1; the guest's console ends with:\n  \
             Kernel panic - not syncing"
        );
        assert_eq!(failure.exit_code, None);
    }

    #[test]
    fn a_silent_function_is_not_quoted() {
        let failure = failure(
            Reason::Exited(Exit {
                code: None,
                signal: Some(11),
            }),
            &quiet(),
        );
        assert_eq!(failure.message, "the function was killed by signal 11");
    }

    #[test]
    fn a_function_that_never_listened_is_told_where_to() {
        assert_eq!(
            failure(Reason::NeverListened, &quiet()).message,
            "the function was not ready within 60s: it must listen on port 8080 (the value of $PORT), on all \
             addresses"
        );
    }

    #[test]
    fn a_death_is_told_by_status_reason_and_last_words() {
        use std::os::unix::process::ExitStatusExt;
        let death = death(Ok(ExitInfo {
            status: std::process::ExitStatus::from_raw(0),
            reason: Some("guest-reset".into()),
            stderr_tail: "qemu: warning\n".into(),
            console_tail: "panic".into(),
        }));
        assert_eq!(
            death.detail,
            "exit status: 0, guest-reset; it said:\n  qemu: warning"
        );
        assert_eq!(death.console, "panic");
    }

    #[test]
    fn only_the_last_lines_with_words_in_them_are_quoted() {
        let text: Vec<_> = (0..20)
            .map(|n| {
                format!(
                    "line {n}
"
                )
            })
            .collect();
        let text = text.join(
            "
",
        );
        let lines = last_lines(&text);
        assert_eq!(lines.len(), TAIL);
        assert_eq!((lines[0], lines[9]), ("line 10", "line 19"));
    }
}
