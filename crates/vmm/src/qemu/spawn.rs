//! From a configuration to a running QEMU.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use sys::process::ProcessId;
use tokio::process::Command;

use super::arguments;
use super::{Error, migration, shim};
use crate::config::{DormantConfig, MachineConfig};
use crate::machine::{Dormant, Machine, OWNER_VARIABLE};
use crate::memory_file::Source;
use crate::qmp::Qmp;
use crate::tail::Tail;

/// How long QEMU may take to answer for the first time.
const START_DEADLINE: Duration = Duration::from_secs(20);

pub(super) async fn boot(binary: &Path, config: MachineConfig) -> Result<Machine, Error> {
    let cmdline = config
        .kernel
        .command_line(config.accel, &config.extra_cmdline);
    let args = arguments::boot(&config, &cmdline);
    let files = vec![
        (arguments::TAP, config.tap),
        (arguments::KERNEL, open("kernel", &config.kernel.vmlinux)?),
        (
            arguments::INITRAMFS,
            open("initramfs", &config.kernel.initramfs)?,
        ),
        (arguments::ROOT, open("root image", &config.root)?),
    ];
    let program = Program {
        name: config.name,
        run_dir: config.run_dir,
        memory_mib: config.memory_mib,
        uid_gid: config.uid_gid,
        args,
        env: Vec::new(),
        files,
    };
    program.start(binary, Instant::now()).await
}

/// Starts a QEMU that knows its shape and no more.
pub(super) async fn prepare(binary: &Path, config: DormantConfig) -> Result<Dormant, Error> {
    let started = Instant::now();
    let args = arguments::dormant(&config);
    let name = config.name.clone();
    let run_dir = config.run_dir.clone();
    let cannot_spawn = |source| Error::Spawn {
        name: name.clone(),
        source,
    };
    let (control, control_theirs) = UnixStream::pair().map_err(cannot_spawn)?;
    let library = shim::library().map_err(cannot_spawn)?;
    let env = vec![
        (
            "LD_PRELOAD",
            format!("/proc/self/fd/{}", arguments::SHIM).into(),
        ),
        (shim::MEMORY_VARIABLE, arguments::MEMORY.to_string().into()),
        (
            shim::CONTROL_VARIABLE,
            arguments::SHIM_CONTROL.to_string().into(),
        ),
    ];
    let files = vec![
        (arguments::TAP, config.tap),
        (arguments::SHIM, library),
        (arguments::SHIM_CONTROL, control_theirs.into()),
    ];
    let program = Program {
        name: config.name,
        run_dir: config.run_dir,
        memory_mib: config.memory_mib,
        uid_gid: config.uid_gid,
        args,
        env,
        files,
    };
    let control = tokio_stream(control).map_err(cannot_spawn)?;
    let mut machine = program.start(binary, started).await?;
    if let Err(source) = migration::set_up(&mut machine.qmp).await {
        let stderr = match machine.kill().await {
            Ok(exit) => exit.stderr_tail,
            Err(error) => error.to_string(),
        };
        return Err(Error::Start {
            name,
            stderr,
            source,
        });
    }
    machine.phases = vec![("hypervisor", started.elapsed())];
    Ok(Dormant {
        machine,
        run_dir,
        control,
    })
}

/// A QEMU, before it is one.
struct Program {
    name: String,
    run_dir: PathBuf,
    memory_mib: u32,
    uid_gid: Option<(u32, u32)>,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    /// What it is given beside QMP, console and memory, by the numbers it knows them by.
    files: Vec<(RawFd, OwnedFd)>,
}

impl Program {
    /// Runs it, and waits until it answers.
    async fn start(self, binary: &Path, started: Instant) -> Result<Machine, Error> {
        let name = self.name;
        let cannot_spawn = |source| Error::Spawn {
            name: name.clone(),
            source,
        };
        let cannot_remember = |source| Error::Memory {
            name: name.clone(),
            source,
        };
        let (qmp, qmp_theirs) = UnixStream::pair().map_err(cannot_spawn)?;
        let (console, console_theirs) = UnixStream::pair().map_err(cannot_spawn)?;
        let memory =
            sys::memfd::create(&name, u64::from(self.memory_mib) << 20).map_err(cannot_remember)?;
        let memory_theirs = memory.as_fd().try_clone_to_owned().map_err(cannot_spawn)?;

        let mut command = Command::new(binary);
        command
            .args(self.args)
            .env_clear()
            // By this a later process recognises one whose pid was not recorded yet.
            .env(OWNER_VARIABLE, &self.run_dir)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some((uid, gid)) = self.uid_gid {
            command.uid(uid).gid(gid);
        }
        let always = [
            (arguments::QMP, qmp_theirs.into()),
            (arguments::CONSOLE, console_theirs.into()),
            (arguments::MEMORY, memory_theirs),
        ];
        let mappings = always.into_iter().chain(self.files);
        command
            .fd_mappings(
                mappings
                    .map(|(child_fd, parent_fd)| FdMapping {
                        parent_fd,
                        child_fd,
                    })
                    .collect(),
            )
            .map_err(|error| cannot_spawn(io::Error::other(error)))?;

        let mut child = command.spawn().map_err(cannot_spawn)?;
        // The command holds the descriptors: QEMU must be the only one to have its ends of the sockets.
        drop(command);
        let gone = || io::Error::other("QEMU ended at once");
        let pid = child.id().ok_or_else(|| cannot_spawn(gone()))?;
        let process = ProcessId::of(pid).map_err(|error| cannot_spawn(io::Error::other(error)))?;
        let stderr = child.stderr.take().ok_or_else(|| cannot_spawn(gone()))?;
        let mut stderr = Tail::of(stderr, None);
        let console = Tail::of(
            tokio_stream(console).map_err(cannot_spawn)?,
            Some(self.run_dir.join("console.log")),
        );

        match Qmp::connect(tokio_stream(qmp).map_err(cannot_spawn)?, START_DEADLINE).await {
            Ok(qmp) => Ok(Machine {
                name,
                process,
                child,
                qmp: Box::new(qmp),
                stderr,
                console,
                phases: vec![("hypervisor", started.elapsed())],
                reason: None,
                memory: Arc::new(Source::File(memory.into())),
            }),
            Err(source) => {
                // Why is on its standard error, which is whole only when it has ended.
                let _ = child.kill().await;
                stderr.ended().await;
                Err(Error::Start {
                    name,
                    stderr: stderr.text(),
                    source,
                })
            }
        }
    }
}

pub(super) fn open(what: &'static str, path: &Path) -> Result<OwnedFd, Error> {
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|source| Error::Open {
            what,
            path: path.to_owned(),
            source,
        })
}

pub(super) fn tokio_stream(stream: UnixStream) -> io::Result<tokio::net::UnixStream> {
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream)
}
