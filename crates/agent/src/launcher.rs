//! The launcher, as PID 1 sees it: a process that waits to be told what to become.
//!
//! Between fork and exec, user, groups, limits and session of the process must be set. Doing so in a copy
//! of PID 1 cannot be had without unsafe code; a fresh process can do it in the open. It is spawned while
//! the host composes its answer, so it costs the start nothing.
//!
//! Both talk over a pair of sockets, which is the launcher's standard input: PID 1 writes a
//! [`Process`] as JSON and ends its side; the launcher answers with a [`Failed`] as JSON, or with nothing,
//! when the socket closes because it was replaced by the program.
//!
//! A command that is run beside the function becomes what it is in the same way.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use agent::protocol::{Failed, Process};
use nix::unistd::Pid;

/// What makes this program the launcher of the function.
pub(crate) const FUNCTION: &str = "launch";

/// What makes it the launcher of a command beside the function.
pub(crate) const COMMAND: &str = "launch-beside";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot spawn the launcher")]
    Spawn(#[source] io::Error),
    #[error("the connection to the launcher failed")]
    Io(#[from] io::Error),
    #[error("the launcher and PID 1 do not understand each other")]
    Json(#[from] serde_json::Error),
}

/// A launcher that waits.
pub(crate) struct Launcher {
    running: Running,
    socket: UnixStream,
}

/// The process that was started.
pub(crate) struct Running {
    pub(crate) pid: Pid,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

impl Running {
    /// The output streams that are still open.
    pub(crate) fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let stdout = self.stdout.as_ref().map(AsFd::as_fd);
        stdout
            .into_iter()
            .chain(self.stderr.as_ref().map(AsFd::as_fd))
    }
}

impl Launcher {
    /// `of` is [`FUNCTION`] or [`COMMAND`].
    pub(crate) fn spawn(of: &str) -> Result<Launcher, Error> {
        let (socket, theirs) = UnixStream::pair().map_err(Error::Spawn)?;
        let mut child = Command::new("/proc/self/exe")
            .arg(of)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::Spawn)?;
        let running = Running {
            pid: Pid::from_raw(child.id() as i32),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };
        Ok(Launcher { running, socket })
    }

    /// Its process, which becomes what is launched.
    pub(crate) fn pid(&self) -> Pid {
        self.running.pid
    }

    /// Turns the launcher into `process`. Returns once its program has been executed.
    pub(crate) fn launch(self, process: &Process) -> Result<Result<Running, Failed>, Error> {
        let (running, refusal) = self.begin(process)?;
        Ok(refusal.wait()?.map_or(Ok(running), Err))
    }

    /// The same without waiting: what is returned is the process, and where the launcher will have said why it could not
    /// become it, once the process has ended.
    pub(crate) fn begin(mut self, process: &Process) -> Result<(Running, Refusal), Error> {
        self.socket.write_all(&serde_json::to_vec(process)?)?;
        self.socket.shutdown(Shutdown::Write)?;
        Ok((self.running, Refusal(self.socket)))
    }
}

/// Where a launcher says why it cannot become what it should.
pub(crate) struct Refusal(UnixStream);

impl Refusal {
    /// Waits until it has become that, which is `None`, or says why not.
    pub(crate) fn wait(mut self) -> Result<Option<Failed>, Error> {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer)?;
        if answer.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&answer)?))
    }
}
