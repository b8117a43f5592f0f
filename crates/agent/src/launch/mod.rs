//! The launcher's own side: from a fresh process to the function, in one direction.
//!
//! See [`crate::launcher`] for why it exists and what is said over standard input.

mod program;
pub(crate) mod user;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use agent::protocol::{Failed, Process};
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{dup2_stdin, fchown, setgroups, sethostname, setresgid, setresuid, setsid};

use crate::files::folder;
use crate::report::chain;
use crate::{cgroup, clock, etc, files};
use user::User;

/// What `execvp` and the shells of most distributions fall back on.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read what to launch")]
    Read(#[source] io::Error),
    #[error("cannot understand what to launch")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Group(#[from] cgroup::Error),
    #[error("the clock cannot be set")]
    Clock(#[source] Errno),
    #[error("the host name cannot be set to {name:?}")]
    Hostname { name: String, source: Errno },
    #[error("{path:?}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path:?}")]
    Workdir { path: PathBuf, source: io::Error },
    #[error(transparent)]
    User(#[from] user::Error),
    #[error("user {uid}, group {gid} cannot be taken on")]
    Identity { uid: u32, gid: u32, source: Errno },
    #[error("the limit of open files cannot be set to {limit}")]
    Limit { limit: u64, source: Errno },
    #[error("the standard streams cannot be set up")]
    Streams(#[source] io::Error),
    #[error(transparent)]
    Program(#[from] program::Error),
}

impl Error {
    fn stage(&self) -> &'static str {
        match self {
            Error::Read(_) | Error::Json(_) | Error::Streams(_) => "launch",
            Error::Group(_) => "cgroup",
            Error::Clock(_) => "clock",
            Error::Hostname { .. } => "hostname",
            Error::File { .. } => "files",
            Error::Workdir { .. } => "workdir",
            Error::User(_) | Error::Identity { .. } => "user",
            Error::Limit { .. } => "limits",
            Error::Program(_) => "exec",
        }
    }
}

/// What the launcher is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The function: it comes first, and the guest is furnished for it.
    Function,
    /// A command beside it, for which that is done.
    Command,
}

/// Becomes the process that PID 1 asks for. Returns only if that fails, after telling PID 1.
pub(crate) fn main(role: Role) -> ExitCode {
    match io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => {
            let mut socket = UnixStream::from(socket);
            let error = launch(role, &mut socket);
            let failed = Failed {
                stage: error.stage().to_owned(),
                message: chain(&error),
            };
            // If PID 1 does not listen the machine is at its end.
            let _ = serde_json::to_vec(&failed).map(|json| socket.write_all(&json));
            let _ = socket.shutdown(Shutdown::Both);
        }
        Err(error) => eprintln!("agent: the launcher has no standard input: {error}"),
    }
    ExitCode::FAILURE
}

/// Never returns `Ok`: what there is to return is why the process could not be started.
fn launch(role: Role, socket: &mut UnixStream) -> Error {
    match prepare(role, socket) {
        Ok((path, mut command)) => program::Error::exec(path, command.exec()).into(),
        Err(error) => error,
    }
}

fn prepare(role: Role, socket: &mut UnixStream) -> Result<(PathBuf, Command), Error> {
    if role == Role::Function {
        // While PID 1 waits for the host.
        cgroup::enter()?;
    }
    let mut json = Vec::new();
    socket.read_to_end(&mut json).map_err(Error::Read)?;
    let process: Process = serde_json::from_slice(&json)?;
    match role {
        Role::Function => {
            cgroup::limit(&process.limits)?;
            furnish(&process)?;
        }
        // PID 1 has put this process where the function is.
        Role::Command => cgroup::see_only_own()?,
    }
    let user = user::of_image(&process.user)?;
    workdir(&process.cwd)?;
    streams(&user)?;
    if process.rlimit_nofile != 0 {
        let limit = process.rlimit_nofile;
        setrlimit(Resource::RLIMIT_NOFILE, limit, limit)
            .map_err(|source| Error::Limit { limit, source })?;
    }
    // PID 1 blocks signals that it reads from a descriptor, and a blocked signal stays so across exec.
    let _ = SigSet::empty().thread_set_mask();
    // Fails only for the leader of a process group, which a process that was just spawned is not.
    let _ = setsid();
    take_identity(&user).map_err(|source| Error::Identity {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        source,
    })?;

    let variable = |name: &str| process.env.iter().rev().find(|(key, _)| key == name);
    let path = variable("PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    let program = program::find(process.argv.first().map_or("", String::as_str), path)?;
    let mut command = Command::new(&program);
    command
        .arg0(process.argv.first().map_or("", String::as_str))
        .args(process.argv.iter().skip(1))
        .env_clear()
        .env("PATH", path)
        .env("HOME", &user.home)
        .envs(process.env.iter().map(|(key, value)| (key, value)));
    Ok((program, command))
}

/// What a guest gets with its function.
fn furnish(process: &Process) -> Result<(), Error> {
    if process.time_unix_us != 0 {
        clock::set(process.time_unix_us).map_err(Error::Clock)?;
    }
    if !process.hostname.is_empty() {
        sethostname(&process.hostname).map_err(|source| Error::Hostname {
            name: process.hostname.clone(),
            source,
        })?;
    }
    for file in etc::files(&process.hostname, &process.dns)
        .iter()
        .chain(&etc::unless_there())
        .chain(&process.files)
    {
        files::write(file).map_err(|source| Error::File {
            path: (&file.path).into(),
            source,
        })?;
    }
    Ok(())
}

fn workdir(path: &str) -> Result<(), Error> {
    let path = Path::new(if path.is_empty() { "/" } else { path });
    let failed = |source| Error::Workdir {
        path: path.into(),
        source,
    };
    match std::env::set_current_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            folder(path).map_err(failed)?;
            std::env::set_current_dir(path).map_err(failed)
        }
        result => result.map_err(failed),
    }
}

/// Standard input reads as empty; the pipes of the others belong to the user, who may open `/dev/stdout`.
fn streams(user: &User) -> Result<(), Error> {
    let null: OwnedFd = File::open("/dev/null").map_err(Error::Streams)?.into();
    dup2_stdin(null).map_err(|errno| Error::Streams(errno.into()))?;
    if !user.uid.is_root() {
        for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
            fchown(stream, Some(user.uid), None).map_err(|errno| Error::Streams(errno.into()))?;
        }
    }
    Ok(())
}

fn take_identity(user: &User) -> Result<(), Errno> {
    setgroups(&user.groups)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)
}
