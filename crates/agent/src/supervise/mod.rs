//! The event loop of PID 1 while the process runs: one thread, one poll.
//!
//! Output is read from the process only while the host takes it, so a function that writes faster than the
//! host reads is slowed down rather than buffered.

mod life;
mod oom;

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use agent::protocol::{Exited, Failed, Resume, Stream, ToGuest, ToHost};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::clone;
use crate::exec::Commands;
use crate::hello::hello;
use crate::host::{self, Host};
use crate::launcher::Running;
use crate::report::chain;
use crate::volume::Volumes;
use life::{Action, Life};

/// How long the host may take to read the last of the output, and then to close the connection.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long a guest that was told to leave dials for. A saved guest's clock stands still, so it has not passed for a
/// clone.
const REDIAL_DEADLINE: Duration = Duration::from_secs(60);

/// Read from a pipe at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Host(#[from] host::Error),
    #[error("the host did not say within {REDIAL_DEADLINE:?} to resume")]
    NoResume,
    #[error("the guest cannot resume: {}", .0.message)]
    Resume(Failed),
    #[error("cannot {what}")]
    System { what: &'static str, source: Errno },
}

fn system(what: &'static str) -> impl Fn(Errno) -> Error {
    move |source| Error::System { what, source }
}

/// Watches over one process, and over every other that is left to PID 1.
pub(crate) struct Supervisor {
    process: Running,
    volumes: Volumes,
    commands: Commands,
    life: Life,
    children: SignalFd,
    chunk: Box<[u8]>,
}

impl Supervisor {
    pub(crate) fn new(
        process: Running,
        volumes: Volumes,
        commands: Commands,
    ) -> Result<Supervisor, Error> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(system("block SIGCHLD"))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let children = SignalFd::with_flags(&mask, flags).map_err(system("watch for SIGCHLD"))?;
        for stream in process.streams() {
            fcntl(stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(system("set up the output pipes"))?;
        }
        let chunk = vec![0; CHUNK].into_boxed_slice();
        Ok(Supervisor {
            process,
            volumes,
            commands,
            life: Life::Running,
            children,
            chunk,
        })
    }

    /// Serves process and host until the process has ended and the host knows.
    pub(crate) fn run(mut self, host: &mut Host) -> Result<(), Error> {
        // It may have ended before SIGCHLD was watched for.
        let mut ended = self.reap()?;
        let ended = loop {
            if let Some(ended) = ended {
                break ended;
            }
            self.wait(host)?;
            match host.receive() {
                // Nobody is left to hear from this machine.
                Err(host::Error::Closed | host::Error::Io(_)) => return Ok(()),
                result => result?,
            }
            while let Some(message) = host.next_message() {
                match message {
                    ToGuest::Quiesce => self.quiesce(host)?,
                    message => self.obey(message),
                }
            }
            host.flush()?;
            self.forward(host)?;
            let late = self.life.tick(Instant::now());
            self.act(late);
            self.commands.tick(Instant::now(), &mut self.chunk);
            ended = self.reap()?;
            for executed in self.commands.ended() {
                host.send(&ToHost::Executed(executed))?;
            }
        };
        // As in a container, the end of the first process is the end of all.
        self.act(Some(Action::KillAll));
        self.last_words(host, exited(ended))
    }

    /// Waits until there is something to do.
    fn wait(&self, host: &Host) -> Result<(), Error> {
        let deadlines = [self.life.deadline(), self.commands.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let timeout = deadline.map_or(PollTimeout::NONE, until);
        let blocked = host.is_blocked();
        let mut fds = Vec::with_capacity(4);
        let wish = if blocked {
            PollFlags::POLLIN | PollFlags::POLLOUT
        } else {
            PollFlags::POLLIN
        };
        fds.push(PollFd::new(host.as_fd(), wish));
        fds.push(PollFd::new(self.children.as_fd(), PollFlags::POLLIN));
        if !blocked {
            fds.extend(
                self.process
                    .streams()
                    .map(|stream| PollFd::new(stream, PollFlags::POLLIN)),
            );
        }
        // What commands write is kept here, within a bound, so they need not wait for the host.
        let commands = self.commands.streams();
        fds.extend(commands.map(|stream| PollFd::new(stream, PollFlags::POLLIN)));
        poll_retrying(&mut fds, timeout)
    }

    fn obey(&mut self, message: ToGuest) {
        let action = match message {
            ToGuest::Signal(signal) => Some(Action::Signal(signal.signal)),
            ToGuest::Shutdown(shutdown) => self
                .life
                .shutdown(Duration::from_millis(shutdown.grace_ms), Instant::now()),
            ToGuest::Update(update) => {
                // The process goes on with what it has, as one does whose host cannot write.
                if let Err(error) = self.volumes.update(&update.volumes) {
                    eprintln!("agent: a volume keeps its contents: {}", chain(&error));
                }
                None
            }
            ToGuest::Exec(exec) => {
                self.commands.begin(&exec, Instant::now());
                None
            }
            ToGuest::Start(_) | ToGuest::Quiesce | ToGuest::Resume(_) => {
                eprintln!("agent: the host said something out of turn, which is ignored");
                None
            }
        };
        self.act(action);
    }

    /// Leaves the host, and goes on when another, or the same again, has said who this guest is now.
    ///
    /// It does not wait for the host to close its side: that would not arrive in a clone.
    fn quiesce(&mut self, host: &mut Host) -> Result<(), Error> {
        let deadline = Instant::now() + LAST_WORDS;
        // Their answers are for this host alone, and so would be the clones'.
        self.commands.abandon();
        // Each turn takes what a pipe holds. What the process writes meanwhile stays there.
        for _ in 0..2 {
            send_all(host, deadline)?;
            self.forward(host)?;
        }
        host.send(&ToHost::Quiesced)?;
        send_all(host, deadline)?;

        let deadline = Instant::now() + REDIAL_DEADLINE;
        let resume = loop {
            *host = Host::redial(deadline)?;
            match self.introduce(host, deadline) {
                Ok(resume) => break resume,
                // Somebody who does not stay was not meant.
                Err(Error::Host(host::Error::Closed | host::Error::Io(_))) => {}
                Err(error) => return Err(error),
            }
        };
        clone::become_oneself(&resume, &mut self.volumes).map_err(Error::Resume)?;
        host.send(&ToHost::Resumed)?;
        Ok(())
    }

    /// Says hello to a new host, and waits for its answer.
    fn introduce(&mut self, host: &mut Host, deadline: Instant) -> Result<Resume, Error> {
        host.send(&ToHost::Hello(hello(true)))?;
        while Instant::now() < deadline {
            match host.next_message() {
                Some(ToGuest::Resume(resume)) => return Ok(resume),
                Some(message) => self.obey(message),
                None => {
                    let fd = PollFd::new(host.as_fd(), PollFlags::POLLIN);
                    poll_retrying(&mut [fd], until(deadline))?;
                    host.receive()?;
                }
            }
        }
        Err(Error::NoResume)
    }

    /// A process that is already gone, or a signal that does not exist, is no reason to stop.
    fn act(&self, action: Option<Action>) {
        match action {
            Some(Action::Signal(signal)) => match Signal::try_from(signal) {
                Ok(signal) => drop(kill(self.process.pid, signal)),
                Err(_) => {
                    eprintln!("agent: the host asked for signal {signal}, which does not exist");
                }
            },
            // Every process but PID 1, by kill(2).
            Some(Action::KillAll) => drop(kill(Pid::from_raw(-1), Signal::SIGKILL)),
            None => {}
        }
    }

    /// Takes leave of every process that has ended; returns how the function did, if it is among them.
    fn reap(&mut self) -> Result<Option<WaitStatus>, Error> {
        while let Ok(Some(_)) = self.children.read_signal() {}
        let mut function = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(function),
                Ok(status) if status.pid() == Some(self.process.pid) => function = Some(status),
                Ok(status) => self.commands.reaped(status, &mut self.chunk),
                Err(Errno::EINTR) => {}
                Err(source) => {
                    return Err(Error::System {
                        what: "wait for processes",
                        source,
                    });
                }
            }
        }
    }

    /// Passes on what the process has written, as long as the host takes it. True if there was any.
    fn forward(&mut self, host: &mut Host) -> Result<bool, Error> {
        let stdout = pass(
            &mut self.process.stdout,
            Stream::Stdout,
            &mut self.chunk,
            host,
        )?;
        let stderr = pass(
            &mut self.process.stderr,
            Stream::Stderr,
            &mut self.chunk,
            host,
        )?;
        Ok(stdout || stderr)
    }

    /// Sends what is left in the pipes, then how the process ended.
    fn last_words(&mut self, host: &mut Host, exited: Exited) -> Result<(), Error> {
        let deadline = Instant::now() + LAST_WORDS;
        loop {
            send_all(host, deadline)?;
            if !self.forward(host)? {
                break;
            }
        }
        say_last(host, &ToHost::Exited(exited))?;
        Ok(())
    }
}

/// Passes on one chunk of one stream, unless the host is behind.
fn pass<R: Read>(
    source: &mut Option<R>,
    stream: Stream,
    chunk: &mut [u8],
    host: &mut Host,
) -> Result<bool, Error> {
    let Some(pipe) = source.as_mut().filter(|_| !host.is_blocked()) else {
        return Ok(false);
    };
    match pipe.read(chunk) {
        Ok(0) => *source = None,
        Ok(count) => {
            host.send_output(stream, &chunk[..count])?;
            return Ok(true);
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) => {}
        Err(error) => {
            eprintln!("agent: cannot read {stream:?} of the process: {error}");
            *source = None;
        }
    }
    Ok(false)
}

/// Sends the last message, and waits until the host has read it and closed the connection: what a machine
/// had still to send ends with the machine.
pub(crate) fn say_last(host: &mut Host, message: &ToHost) -> Result<(), host::Error> {
    let deadline = Instant::now() + LAST_WORDS;
    host.send(message)?;
    // Past the deadline there is nothing to do but to end the machine, which the caller does.
    let _ = send_all(host, deadline);
    host.finish()?;
    while Instant::now() < deadline && host.receive().is_ok() {
        while let Some(message) = host.next_message() {
            if matches!(message, ToGuest::Shutdown(_)) {
                return Ok(());
            }
        }
        let _ = poll_retrying(
            &mut [PollFd::new(host.as_fd(), PollFlags::POLLIN)],
            until(deadline),
        );
    }
    Ok(())
}

/// Waits for the host to take all that is queued, until the deadline.
fn send_all(host: &mut Host, deadline: Instant) -> Result<(), Error> {
    while host.is_blocked() && Instant::now() < deadline {
        poll_retrying(
            &mut [PollFd::new(host.as_fd(), PollFlags::POLLOUT)],
            until(deadline),
        )?;
        host.flush()?;
    }
    Ok(())
}

fn until(deadline: Instant) -> PollTimeout {
    // Rounded up, so as not to turn in circles in the last millisecond.
    let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

fn poll_retrying(fds: &mut [PollFd<'_>], timeout: PollTimeout) -> Result<(), Error> {
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(source) => Err(Error::System {
            what: "wait for events",
            source,
        }),
    }
}

fn exited(status: WaitStatus) -> Exited {
    let (code, signal) = match status {
        WaitStatus::Exited(_, code) => (Some(code), None),
        WaitStatus::Signaled(_, signal, _) => (None, Some(signal as i32)),
        _ => (None, None),
    };
    // A shell reports a child that was killed as 128 + 9.
    let killed =
        signal == Some(Signal::SIGKILL as i32) || code == Some(128 + Signal::SIGKILL as i32);
    Exited {
        code,
        signal,
        oom: killed && oom::happened(),
    }
}
