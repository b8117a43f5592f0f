//! A container's microVM, and everything that goes on beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use image::RootImage;
use sandbox::{
    Checks, Command, ExecEnd, ExecError, Handle, MAX_EXEC_OUTPUT, Probe, Sandbox, Spec, State,
};
use sys::netns::NetNs;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::{Code, Status};
use tracing::warn;

use crate::forward::Forward;
use crate::log::{self, Reopen};
use crate::mounts::Source;
use crate::plan::Plan;
use crate::proto::runtime_v1 as cri;

/// Kubelets probe; here a program that runs is a container that runs.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How often the folders that the kubelet writes are looked at; it itself takes a minute and more.
const LOOK: Duration = Duration::from_secs(5);
/// How long the end of a log may take to be copied.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A container's microVM, from its start.
pub(crate) struct Machine {
    handle: Handle,
    reopen: Option<Reopen>,
    copying: std::sync::Mutex<Option<JoinHandle<()>>>,
    /// Stops when the machine is dropped.
    _updates: Option<tokio_util::task::AbortOnDropHandle<()>>,
    forwards: std::sync::Mutex<Vec<Forward>>,
    saveable: bool,
    log: PathBuf,
    /// As long as somebody may read from it.
    _root: RootImage,
}

impl Plan {
    /// Starts the instance; the pod's ports lead to it from now on. An error is what in the pod prevents that.
    pub(crate) fn start(self, sandbox: &Sandbox, pod: &NetNs) -> Result<Machine, Status> {
        let (target, targets) = watch::channel(None);
        let mut forwards = Vec::new();
        for port in &self.ports {
            let forward = Forward::everywhere(pod, *port, targets.clone());
            forwards.push(forward.map_err(|error| {
                Status::failed_precondition(format!(
                    "port {port} of the pod cannot be listened on: {error}; does another container of the pod?"
                ))
            })?);
        }
        let machine = self.launch(sandbox, forwards);
        // Nobody is told that there is none any more: its connections break by themselves.
        target.send_replace(Some(machine.handle.clone()));
        drop(target);
        Ok(machine)
    }

    /// Starts the instance.
    pub(crate) fn launch(self, sandbox: &Sandbox, forwards: Vec<Forward>) -> Machine {
        let port = self.ports.first().copied().unwrap_or(1);
        let saveable = self.snapshot.is_some();
        let handle = sandbox.start(Spec {
            id: self.id,
            root: self.root.path.clone(),
            process: self.process,
            vcpus: self.vcpus,
            memory_mib: self.memory_mib,
            log: self.log.clone(),
            port,
            probe: if self.listens {
                Probe::Tcp { port }
            } else {
                Probe::None
            },
            checks: Checks::default(),
            ready_deadline: READY_DEADLINE,
            snapshot: self.snapshot,
        });
        let copy = self.copy.map(|path| log::copy(handle.log().clone(), path));
        let (reopen, copying) = match copy {
            Some((reopen, work)) => (Some(reopen), Some(tokio::spawn(work))),
            None => (None, None),
        };
        let updates = (!self.sources.is_empty()).then(|| {
            let work = tokio::spawn(update(handle.clone(), self.sources));
            tokio_util::task::AbortOnDropHandle::new(work)
        });
        Machine {
            handle,
            reopen,
            copying: std::sync::Mutex::new(copying),
            _updates: updates,
            forwards: std::sync::Mutex::new(forwards),
            saveable,
            log: self.log,
            _root: self.root,
        }
    }
}

impl Machine {
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.handle.pid()
    }

    /// Waits until it has ended and everything it printed is in the kubelet's file.
    pub(crate) async fn ended(&self) -> State {
        self.handle.stopped().await;
        let locked = |it: &std::sync::Mutex<Option<JoinHandle<()>>>| {
            let mut copying = it.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            copying.take()
        };
        if let Some(copying) = locked(&self.copying)
            && timeout(LAST_LINES, copying).await.is_err()
        {
            let instance = self.handle.id();
            warn!(
                instance,
                "the end of a container's log was not copied in time"
            );
        }
        let mut forwards = self
            .forwards
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        forwards.clear();
        self.handle.state()
    }

    /// Runs a command beside what runs in the guest, to its end.
    pub(crate) async fn exec(
        &self,
        argv: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<cri::ExecSyncResponse, Status> {
        let command = Command {
            argv,
            timeout,
            max_output: MAX_EXEC_OUTPUT,
            ..Command::default()
        };
        let executed = self.handle.exec(command).await.map_err(|error| {
            let text = crate::chain(&error);
            match error {
                ExecError::NotRunning => Status::failed_precondition(text),
                ExecError::Guest(_) => Status::unavailable(text),
            }
        })?;
        let exit_code = match executed.end {
            ExecEnd::Exited { code } => code,
            ExecEnd::Signaled { signal } => 128 + signal,
            // The kubelet counts a probe as failed by this code.
            ExecEnd::TimedOut => {
                return Err(Status::deadline_exceeded(
                    "the command was killed: its time was over",
                ));
            }
            ExecEnd::NotStarted(failed) => {
                return Err(Status::unknown(format!(
                    "the command could not be started: {}: {}",
                    failed.stage, failed.message
                )));
            }
        };
        Ok(cri::ExecSyncResponse {
            stdout: executed.stdout,
            stderr: executed.stderr,
            exit_code,
        })
    }

    pub(crate) async fn reopen_log(&self) -> Result<(), Status> {
        let ended = || Status::failed_precondition("the container does not run any more");
        let Some(reopen) = &self.reopen else {
            return Ok(());
        };
        match reopen.reopen().await.ok_or_else(ended)? {
            Ok(()) => Ok(()),
            Err(error) => Err(Status::internal(format!("cannot open its log: {error}"))),
        }
    }

    /// Takes a snapshot of what was booted and is ready, if there is to be one: the next of its kind is restored from it.
    pub(crate) async fn save(&self) {
        if !self.saveable || self.handle.snapshot().is_some() {
            return;
        }
        if let Err(error) = self.handle.save().await {
            let (error, instance) = (crate::chain(&error), self.handle.id());
            warn!(error, instance, "no snapshot was taken of a microVM");
        }
    }

    /// Removes the instance's own log; the kubelet's is the kubelet's.
    pub(crate) fn remove_log(&self) {
        if let Err(error) = sandbox::logs::remove(&self.log) {
            warn!(%error, log = %self.log.display(), "cannot remove an instance's log");
        }
    }
}

/// Tells the guest what is new in folders that the kubelet writes, for as long as it runs.
async fn update(handle: Handle, mut sources: Vec<Source>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = handle.stopped() => return,
        }
        let looked = tokio::task::spawn_blocking(move || {
            let changed = sources.iter_mut().filter_map(Source::changed);
            let changed: Vec<_> = changed.collect();
            (sources, changed)
        });
        let Ok((back, changed)) = looked.await else {
            return;
        };
        sources = back;
        let mut contents = Vec::new();
        for it in changed {
            match it {
                Ok(it) => contents.push(it),
                Err(error) => {
                    let error = crate::chain(&error);
                    warn!(
                        error,
                        instance = handle.id(),
                        "a volume cannot be read anew"
                    );
                }
            }
        }
        if !contents.is_empty() {
            handle.update(contents);
        }
    }
}

/// Why a start failed, as the kubelet is told.
pub(crate) fn refused(failure: &sandbox::Failure) -> Status {
    let code = match failure.reason {
        sandbox::Reason::StartFailed => Code::FailedPrecondition,
        sandbox::Reason::Refused => Code::Unavailable,
        sandbox::Reason::BootTimedOut => Code::DeadlineExceeded,
        _ => Code::Internal,
    };
    Status::new(
        code,
        format!("{}: {}", failure.reason.name(), failure.message),
    )
}

/// Handles of machines are shared by calls that come at the same time.
pub(crate) type Shared = Arc<Machine>;
