//! From the first instruction of PID 1 to the end of the machine.

use std::time::{Duration, Instant};

use agent::protocol::{Failed, Process, Started, ToGuest, ToHost};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::Steps;
use crate::exec::Commands;
use crate::hello::hello;
use crate::host::{self, Host};
use crate::launcher::{self, Launcher};
use crate::report::chain;
use crate::supervise::{self, Supervisor};
use crate::volume::Volumes;
use crate::{memory, modules, network, root, volume};

/// How long the guest waits to be told what to run. A host that says nothing for so long has gone wrong.
const START_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Modules(#[from] modules::Error),
    #[error(transparent)]
    Network(#[from] network::Error),
    #[error(transparent)]
    Host(#[from] host::Error),
    #[error(transparent)]
    Root(#[from] root::Error),
    #[error(transparent)]
    Volumes(#[from] volume::Error),
    #[error(transparent)]
    Launcher(#[from] launcher::Error),
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
    #[error("cannot wait for the host")]
    Poll(#[source] nix::errno::Errno),
    #[error("the host did not say within {START_DEADLINE:?} what to run")]
    NoStart,
    #[error("the process cannot be started: {}: {}", .0.stage, .0.message)]
    Start(Failed),
}

/// Runs the machine to its end. What goes wrong is told to the host, once there is a connection.
pub(crate) fn run() -> Result<(), Error> {
    let mut steps = Steps::default();
    steps.end("kernel");
    modules::load()?;
    steps.end("modules");
    network::up()?;
    steps.end("network");
    let mut host = Host::dial()?;
    host.send(&ToHost::Hello(hello(false)))?;
    steps.end("hello");
    let result = function(&mut host, steps);
    if let Err(error) = &result {
        let failed = match error {
            Error::Start(failed) | Error::Supervise(supervise::Error::Resume(failed)) => {
                failed.clone()
            }
            error => Failed {
                stage: stage(error).to_owned(),
                message: chain(error),
            },
        };
        supervise::say_last(&mut host, &ToHost::Failed(failed))?;
    }
    result
}

fn function(host: &mut Host, mut steps: Steps) -> Result<(), Error> {
    root::enter()?;
    let launcher = Launcher::spawn(launcher::FUNCTION)?;
    root::complete()?;
    steps.end("root");
    let Some(mut process) = wait_for_start(host)? else {
        return Ok(());
    };
    steps.end("start");
    let volumes = Volumes::mount(std::mem::take(&mut process.volumes), &process.user)?;
    let running = launcher.launch(&process)?.map_err(Error::Start)?;
    steps.end("exec");
    host.send(&ToHost::Started(Started {
        pid: running.pid.as_raw() as u32,
        steps: steps.take(),
    }))?;
    let supervisor = Supervisor::new(running, volumes, Commands::beside(process))?;
    // What can wait until the process runs.
    memory::kill_rather_than_thrash();
    Ok(supervisor.run(host)?)
}

/// The process to run, or `None` if the host thought better of it.
fn wait_for_start(host: &mut Host) -> Result<Option<Process>, Error> {
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        match host.next_message() {
            Some(ToGuest::Start(process)) => return Ok(Some(process)),
            Some(ToGuest::Shutdown(_)) => return Ok(None),
            // There is nothing yet to send a signal to, nor to save.
            Some(
                ToGuest::Signal(_)
                | ToGuest::Quiesce
                | ToGuest::Resume(_)
                | ToGuest::Update(_)
                | ToGuest::Exec(_),
            ) => continue,
            None => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::NoStart);
        }
        let mut fds = [PollFd::new(host.as_fd(), PollFlags::POLLIN)];
        poll(
            &mut fds,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        )
        .map_err(Error::Poll)?;
        host.receive()?;
    }
}

fn stage(error: &Error) -> &'static str {
    match error {
        Error::Modules(_) => "modules",
        Error::Network(_) => "network",
        Error::Root(_) => "root",
        Error::Volumes(volume::Error::User(_)) => "user",
        Error::Volumes(_) => "volumes",
        Error::Launcher(_) | Error::Start(_) => "launch",
        Error::Supervise(_) => "supervise",
        Error::Host(_) | Error::Poll(_) | Error::NoStart => "host",
    }
}
