//! How an instance failed, in the words of conditions.

use control::InstanceFailure;
use sandbox::{Exit, Failure, Reason};

/// A failure as conditions tell it. A process that a signal ended has the exit code that shells and kubelets give it.
pub(super) fn observed(failure: &Failure) -> InstanceFailure {
    let exit_code = match failure.reason {
        Reason::Exited(exit) | Reason::ExitedEarly(exit) => code(exit),
        _ => None,
    };
    InstanceFailure {
        reason: match exit_code {
            Some(code) => format!("ExitCode{code}"),
            None => failure.reason.name().to_owned(),
        },
        message: failure.message.clone(),
        exit_code,
    }
}

fn code(exit: Exit) -> Option<i32> {
    exit.code.or(exit.signal.map(|signal| 128 + signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_ended_have_an_exit_code_and_all_else_its_own_reason() {
        let exit = |code, signal| Exit { code, signal };
        for (reason, expected, code) in [
            (Reason::Exited(exit(Some(3), None)), "ExitCode3", Some(3)),
            (
                Reason::ExitedEarly(exit(Some(0), None)),
                "ExitCode0",
                Some(0),
            ),
            (
                Reason::Exited(exit(None, Some(11))),
                "ExitCode139",
                Some(139),
            ),
            (Reason::Exited(exit(None, None)), "Exited", None),
            (Reason::OutOfMemory, "OutOfMemory", None),
            (Reason::NeverListened, "NeverListened", None),
        ] {
            let failure = observed(&Failure {
                reason,
                message: "why".to_owned(),
                exit_code: None,
            });
            assert_eq!(
                (failure.reason.as_str(), failure.exit_code),
                (expected, code)
            );
        }
    }
}
