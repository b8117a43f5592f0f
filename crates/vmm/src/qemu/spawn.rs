//! From a configuration to a running QEMU.

use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use sys::process::ProcessId;
use tokio::process::Command;

use super::Error;
use super::arguments::{self, args};
use crate::machine::{Machine, MachineConfig, OWNER_VARIABLE};
use crate::qmp::Qmp;
use crate::tail::Tail;

/// How long QEMU may take to answer for the first time.
const START_DEADLINE: Duration = Duration::from_secs(20);

pub(super) async fn boot(binary: &Path, config: MachineConfig) -> Result<Machine, Error> {
    let name = config.name.clone();
    let cannot_spawn = |source| Error::Spawn {
        name: name.clone(),
        source,
    };
    let (qmp, qmp_theirs) = UnixStream::pair().map_err(cannot_spawn)?;
    let (console, console_theirs) = UnixStream::pair().map_err(cannot_spawn)?;
    let memory =
        sys::memfd::create(&name, u64::from(config.memory_mib) << 20).map_err(|source| {
            Error::Memory {
                name: name.clone(),
                source,
            }
        })?;

    let mut command = Command::new(binary);
    command
        .args(args(
            &config,
            &config
                .kernel
                .command_line(config.accel, &config.extra_cmdline),
        ))
        .env_clear()
        // By this a later process recognises one whose pid was not recorded yet.
        .env(OWNER_VARIABLE, &config.run_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some((uid, gid)) = config.uid_gid {
        command.uid(uid).gid(gid);
    }
    let files: [(RawFd, OwnedFd); 7] = [
        (arguments::QMP, qmp_theirs.into()),
        (arguments::CONSOLE, console_theirs.into()),
        (arguments::TAP, config.tap),
        (arguments::MEMORY, memory),
        (arguments::KERNEL, open("kernel", &config.kernel.vmlinux)?),
        (
            arguments::INITRAMFS,
            open("initramfs", &config.kernel.initramfs)?,
        ),
        (arguments::ROOT, open("root image", &config.root)?),
    ];
    let mappings = files.map(|(child_fd, parent_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command
        .fd_mappings(mappings.into())
        .map_err(|error| cannot_spawn(io::Error::other(error)))?;

    let started = Instant::now();
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
        Some(config.run_dir.join("console.log")),
    );

    match Qmp::connect(tokio_stream(qmp).map_err(cannot_spawn)?, START_DEADLINE).await {
        Ok(qmp) => Ok(Machine {
            name,
            process,
            child,
            qmp,
            stderr,
            console,
            phases: vec![("hypervisor", started.elapsed())],
            reason: None,
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

fn open(what: &'static str, path: &Path) -> Result<OwnedFd, Error> {
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|source| Error::Open {
            what,
            path: path.to_owned(),
            source,
        })
}

fn tokio_stream(stream: UnixStream) -> io::Result<tokio::net::UnixStream> {
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream)
}
