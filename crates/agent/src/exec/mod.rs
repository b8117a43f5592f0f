//! Commands that run beside the function: where it runs, as it runs, and no longer than they may.
//!
//! Each begins as a launcher (see [`crate::launcher`]), which PID 1 does not wait for. What a command writes is kept up to a bound, and
//! sent when it has ended. A command does not outlive the connection over which it was asked for: nobody else knows its name.

mod capture;

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use agent::protocol::{Exec, ExecEnd, Executed, Failed, MAX_EXEC_OUTPUT, MAX_EXECS, Process};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::cgroup::{self, Group};
use crate::launcher::{self, Launcher, Refusal};
use crate::report::chain;
use capture::Capture;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{MAX_EXECS} commands run already")]
    TooMany,
    #[error(transparent)]
    Launcher(#[from] launcher::Error),
    #[error(transparent)]
    Group(#[from] cgroup::Error),
    #[error("the output pipes cannot be set up")]
    Pipes(#[source] Errno),
}

/// All commands of this connection.
pub(crate) struct Commands {
    /// What a command begins from: the function, as it began.
    function: Process,
    running: Vec<Command>,
    /// Those that have ended and were not told yet.
    ended: Vec<Executed>,
    /// Found when the first is asked for: most functions have none.
    group: Option<Group>,
}

struct Command {
    id: u64,
    pid: Pid,
    refusal: Refusal,
    stdout: Capture,
    stderr: Capture,
    deadline: Option<Instant>,
    /// It was killed at its deadline.
    late: bool,
}

impl Commands {
    /// No command yet, beside a function that began as `process`.
    pub(crate) fn beside(process: Process) -> Commands {
        Commands {
            function: process,
            running: Vec::new(),
            ended: Vec::new(),
            group: None,
        }
    }

    /// Starts a command. That it cannot be is its answer.
    pub(crate) fn begin(&mut self, exec: &Exec, now: Instant) {
        let id = exec.id;
        match self.start(exec, now) {
            Ok(command) => self.running.push(command),
            Err(error) => self.ended.push(Executed {
                id,
                end: ExecEnd::NotStarted(Failed {
                    stage: "exec".to_owned(),
                    message: chain(&error),
                }),
                stdout: Vec::new(),
                stderr: Vec::new(),
                truncated: false,
            }),
        }
    }

    fn start(&mut self, exec: &Exec, now: Instant) -> Result<Command, Error> {
        if self.running.len() >= MAX_EXECS {
            return Err(Error::TooMany);
        }
        let group = match &mut self.group {
            Some(group) => group,
            none => none.insert(Group::open()?),
        };
        let launcher = Launcher::spawn(launcher::COMMAND)?;
        group.join(launcher.pid())?;
        let bound = exec.max_output.min(MAX_EXEC_OUTPUT as u64) as usize;
        let deadline = match exec.timeout_ms {
            0 => None,
            // One that the clock cannot count is as good as none.
            timeout => now.checked_add(Duration::from_millis(timeout)),
        };
        let (running, refusal) = launcher.begin(&process(&self.function, exec))?;
        Ok(Command {
            id: exec.id,
            pid: running.pid,
            refusal,
            stdout: capture(running.stdout, bound)?,
            stderr: capture(running.stderr, bound)?,
            deadline,
            late: false,
        })
    }

    /// What commands write to, to wait for.
    pub(crate) fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running
            .iter()
            .flat_map(|command| [command.stdout.as_fd(), command.stderr.as_fd()])
            .flatten()
    }

    /// When [`Commands::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let running = self.running.iter().filter(|command| !command.late);
        running.filter_map(|command| command.deadline).min()
    }

    /// Reads what commands have written, and kills those whose time is over.
    pub(crate) fn tick(&mut self, now: Instant, chunk: &mut [u8]) {
        for command in &mut self.running {
            command.stdout.read(chunk);
            command.stderr.read(chunk);
            if !command.late && command.deadline.is_some_and(|deadline| deadline <= now) {
                command.late = true;
                command.kill();
            }
        }
    }

    /// Notes that a process has ended, if it is a command.
    pub(crate) fn reaped(&mut self, status: WaitStatus, chunk: &mut [u8]) {
        let ended = |command: &Command| status.pid() == Some(command.pid);
        if let Some(at) = self.running.iter().position(ended) {
            let command = self.running.swap_remove(at);
            self.ended.push(command.ended(status, chunk));
        }
    }

    /// Those that have ended since this was last asked.
    pub(crate) fn ended(&mut self) -> Vec<Executed> {
        std::mem::take(&mut self.ended)
    }

    /// Kills and forgets all of them.
    pub(crate) fn abandon(&mut self) {
        for command in self.running.drain(..) {
            command.kill();
        }
        self.ended.clear();
    }
}

impl Command {
    /// Kills it, with what it has started and not sent away. One that has not got as far as a session of its own has started nothing.
    fn kill(&self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = kill(self.pid, Signal::SIGKILL);
    }

    fn ended(mut self, status: WaitStatus, chunk: &mut [u8]) -> Executed {
        // All that it wrote itself is in its pipes by now. What still runs of it may hold them open, and is not waited for.
        self.stdout.drain(chunk);
        self.stderr.drain(chunk);
        let end = match (self.refusal.wait(), status) {
            (Ok(Some(failed)), _) => ExecEnd::NotStarted(failed),
            _ if self.late => ExecEnd::TimedOut,
            (_, WaitStatus::Signaled(_, signal, _)) => ExecEnd::Signaled {
                signal: signal as i32,
            },
            (_, WaitStatus::Exited(_, code)) => ExecEnd::Exited { code },
            (Err(error), _) => ExecEnd::NotStarted(Failed {
                stage: "exec".to_owned(),
                message: chain(&error),
            }),
            // Only the ends of processes are reaped.
            (_, _) => ExecEnd::Exited { code: -1 },
        };
        let truncated = self.stdout.is_truncated() || self.stderr.is_truncated();
        Executed {
            id: self.id,
            end,
            stdout: self.stdout.into_bytes(),
            stderr: self.stderr.into_bytes(),
            truncated,
        }
    }
}

/// What is to be run: as the function but for what the command says of itself.
fn process(function: &Process, exec: &Exec) -> Process {
    let own = |own: &String, functions: &String| {
        if own.is_empty() {
            functions.clone()
        } else {
            own.clone()
        }
    };
    Process {
        argv: exec.argv.clone(),
        env: function.env.iter().chain(&exec.env).cloned().collect(),
        cwd: own(&exec.cwd, &function.cwd),
        user: own(&exec.user, &function.user),
        rlimit_nofile: function.rlimit_nofile,
        ..Process::default()
    }
}

fn capture(pipe: Option<impl Into<OwnedFd>>, bound: usize) -> Result<Capture, Error> {
    let pipe = pipe.map(|pipe| File::from(pipe.into()));
    if let Some(pipe) = &pipe {
        fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(Error::Pipes)?;
    }
    Ok(Capture::new(pipe, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_command_runs_as_the_function_does_unless_it_says_otherwise() {
        let function = Process {
            argv: vec!["/server".into()],
            env: vec![pair("A", "1"), pair("B", "2")],
            cwd: "/app".into(),
            user: "1000".into(),
            hostname: "f-1".into(),
            time_unix_us: 5,
            rlimit_nofile: 10,
            ..Process::default()
        };
        let exec = Exec {
            argv: vec!["ls".into()],
            env: vec![pair("B", "3")],
            ..Exec::default()
        };
        let same = process(&function, &exec);
        assert_eq!(same.argv, ["ls"]);
        // The last of a name counts.
        assert_eq!(same.env, [pair("A", "1"), pair("B", "2"), pair("B", "3")]);
        assert_eq!((same.cwd.as_str(), same.user.as_str()), ("/app", "1000"));
        assert_eq!((same.rlimit_nofile, same.time_unix_us), (10, 0));
        assert_eq!(same.hostname, "");

        let exec = Exec {
            cwd: "/".into(),
            user: "0".into(),
            ..exec
        };
        let other = process(&function, &exec);
        assert_eq!((other.cwd.as_str(), other.user.as_str()), ("/", "0"));
    }
}
