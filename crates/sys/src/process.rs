//! Processes that outlive the memory of them: who they are after a restart, and how to end them.
//!
//! A pid alone names nothing: the kernel gives it away again. A pid and the time its process started do.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// A process could not be found or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such process.
    #[error("there is no process {0}")]
    Gone(u32),
    /// `/proc/PID/stat` cannot be read, or says nothing sensible.
    #[error("cannot read /proc/{pid}/stat")]
    Stat {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused to name, signal or watch the process.
    #[error("cannot {action} process {pid}")]
    Refused {
        /// The process.
        pid: u32,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process was killed and is still there: it waits inside the kernel.
    #[error(
        "process {pid} was killed but did not end within {waited:?}; look at /proc/{pid}/stack"
    )]
    Lingers {
        /// The process.
        pid: u32,
        /// How long it was waited for.
        waited: Duration,
    },
}

/// One process, told apart from every other of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid, in the caller's namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_time: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.pid, self.start_time)
    }
}

impl ProcessId {
    /// The process that has `pid` now.
    pub fn of(pid: u32) -> Result<Self, Error> {
        let stat = read_stat(pid)?;
        Ok(Self {
            pid,
            start_time: stat.start_time,
        })
    }

    /// Whether the process still runs. One that has ended and only waits for its parent does not.
    pub fn alive(&self) -> bool {
        read_stat(self.pid).is_ok_and(|stat| self.is(&stat) && !stat.ended)
    }

    /// Kills the process and waits until it has ended, at most `deadline`; fine if it is gone already.
    ///
    /// It does not reap: a child stays a zombie until its parent waits for it.
    pub fn kill_and_wait(&self, deadline: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let refused = |action| {
            move |source: Errno| Error::Refused {
                pid: self.pid,
                action,
                source: source.into(),
            }
        };
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Err(Error::Gone(self.pid));
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(()),
            Err(source) => return Err(refused("name")(source)),
        };
        // The descriptor holds on to one process. Only now is it asked whether that is the one meant: no
        // other can take its place between the question and the signal.
        match read_stat(self.pid) {
            Ok(stat) if self.is(&stat) => {}
            Ok(_) | Err(Error::Gone(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        match rustix::process::pidfd_send_signal(&pidfd, Signal::KILL) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(()),
            Err(source) => return Err(refused("kill")(source)),
        }
        loop {
            let left = deadline.saturating_sub(started.elapsed());
            let timeout = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            });
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(0) => {
                    return Err(Error::Lingers {
                        pid: self.pid,
                        waited: deadline,
                    });
                }
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(source) => return Err(refused("wait for")(source)),
            }
        }
    }

    fn is(&self, stat: &Stat) -> bool {
        stat.start_time == self.start_time
    }
}

struct Stat {
    ended: bool,
    start_time: u64,
}

fn read_stat(pid: u32) -> Result<Stat, Error> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).map_err(|source| {
        // Reading from a process that ended since the open gives ESRCH.
        if source.kind() == io::ErrorKind::NotFound
            || source.raw_os_error() == Some(Errno::SRCH.raw_os_error())
        {
            Error::Gone(pid)
        } else {
            Error::Stat { pid, source }
        }
    })?;
    parse_stat(&text).ok_or_else(|| Error::Stat {
        pid,
        source: io::Error::new(io::ErrorKind::InvalidData, "no start time in it"),
    })
}

/// `pid (name) state ppid … starttime …` (proc_pid_stat(5)). The name may hold spaces and parentheses, so
/// counting begins after the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let name_ends = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&text[name_ends + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?; // field 3
    let start_time = fields.nth(18)?.parse().ok()?; // field 22
    Some(Stat {
        ended: matches!(state, "Z" | "X" | "x"),
        start_time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat =
            parse_stat(b"7 (a) Z (b c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 9 9")
                .unwrap();
        assert_eq!((stat.start_time, stat.ended), (12345, false));
    }

    #[test]
    fn a_zombie_has_ended() {
        let stat = parse_stat(b"7 (a) Z 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 5 9 9").unwrap();
        assert!(stat.ended);
    }

    #[test]
    fn a_cut_off_line_is_no_stat() {
        assert!(parse_stat(b"7 (a) S 1 7 7").is_none());
        assert!(parse_stat(b"").is_none());
    }
}
