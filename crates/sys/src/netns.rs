//! Network namespaces with a name under `/run/netns`, and sockets made inside them.
//!
//! A namespace is kept by a bind mount, so it outlives the process that made it until [`NetNs::delete`].
//! A socket belongs to the namespace it was made in for its whole life, wherever it is used from later:
//! that is how the host reaches a guest with neither veth, NAT nor route.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::link;

/// Where named network namespaces live, by the custom of iproute2 (ip-netns(8)).
pub const DIRECTORY: &str = "/run/netns";

const CURRENT: &str = "/proc/thread-self/ns/net";

/// A namespace could not be made, entered, listed or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A namespace of this name exists already.
    #[error("the network namespace {} exists already", path.display())]
    Exists {
        /// The namespace's path.
        path: PathBuf,
    },
    /// A step of making, opening or removing the namespace failed.
    #[error("cannot {step} the network namespace {}", path.display())]
    Step {
        /// What was being done.
        step: &'static str,
        /// The namespace's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The loopback interface of a new namespace could not be brought up.
    #[error("cannot set up loopback in the network namespace {}", path.display())]
    Loopback {
        /// The namespace's path.
        path: PathBuf,
        /// Why.
        source: link::Error,
    },
    /// A socket could not be made, bound or connected inside the namespace.
    #[error("cannot {step} {address} in the network namespace {}", path.display())]
    Socket {
        /// What was being done.
        step: &'static str,
        /// The namespace's path.
        path: PathBuf,
        /// The address meant.
        address: SocketAddrV4,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The result of an operation on a namespace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An open network namespace. The handle keeps the namespace itself alive, also after its name is gone.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    path: PathBuf,
}

impl NetNs {
    /// Makes a new namespace with its loopback up and binds it to `path`, which must not exist.
    ///
    /// Only the calling thread of `unshare(2)` changes its namespace, so a thread of its own does it and
    /// ends; the caller's threads never leave theirs.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("make the directory of", path))?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::Exists {
                    path: path.to_owned(),
                },
                _ => failed("make the mount point of", path)(error),
            })?;
        let made = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("netns-create".into())
                .spawn_scoped(scope, || create_here(path))
                .map_err(failed("start a thread for", path))?
                .join()
                .unwrap_or_else(|_| Err(failed("create", path)(io::Error::other("panicked"))))
        });
        match made {
            Ok(file) => Ok(Self {
                file,
                path: path.to_owned(),
            }),
            Err(error) => {
                // The first error is the one worth reporting.
                let _ = Self::delete(path);
                Err(error)
            }
        }
    }

    /// Opens the namespace bound to `path`.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            file: File::open(path).map_err(failed("open", path))?,
            path: path.to_owned(),
        })
    }

    /// Removes the name; the namespace ends when nothing uses it any more. Fine if it is gone already.
    ///
    /// Removing the mount point detaches the mount in every mount namespace it was copied to, so no
    /// other process keeps the network namespace alive by having inherited the mount.
    pub fn delete(path: &Path) -> Result<()> {
        match umount2(path, MntFlags::MNT_DETACH) {
            // EINVAL: a plain file, left by a creation that stopped half-way.
            Ok(()) | Err(nix::Error::ENOENT | nix::Error::EINVAL) => {}
            Err(errno) => return Err(failed("unmount", path)(errno.into())),
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// The paths of the namespaces in [`DIRECTORY`] whose name starts with `prefix`, sorted.
    pub fn list(prefix: &str) -> Result<Vec<PathBuf>> {
        let directory = Path::new(DIRECTORY);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", directory)(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("list", directory))?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_bytes())
            {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// The path the namespace was made or opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `f` with the calling thread inside the namespace, and comes back also if `f` panics.
    ///
    /// `f` must not wait for other tasks: it holds the thread. A thread that could not come back would do
    /// everything after in a stranger's network, so then the process ends.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        let home = File::open(CURRENT).map_err(failed("remember the way back from", &self.path))?;
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| failed("enter", &self.path)(errno.into()))?;
        let _return = Return(home.as_fd());
        Ok(f())
    }

    /// Starts a TCP connection from inside the namespace. The socket does not block, sends small writes at
    /// once (`TCP_NODELAY`), and becomes writable when the connection stands or has failed.
    pub fn tcp_connect_nonblocking(&self, address: SocketAddrV4) -> Result<TcpStream> {
        let failed = |source: rustix::io::Errno| Error::Socket {
            step: "connect to",
            path: self.path.clone(),
            address,
            source: source.into(),
        };
        let socket = self
            .enter(|| {
                rustix::net::socket_with(
                    AddressFamily::INET,
                    SocketType::STREAM,
                    SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
                    Some(ipproto::TCP),
                )
            })?
            .map_err(failed)?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(failed)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket.into()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Listens for TCP connections inside the namespace; `accept` does not block.
    pub fn tcp_listen(&self, address: SocketAddrV4) -> Result<TcpListener> {
        self.enter(|| {
            let listener = TcpListener::bind(SocketAddr::V4(address))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?
        .map_err(|source| Error::Socket {
            step: "listen on",
            path: self.path.clone(),
            address,
            source,
        })
    }
}

/// Takes the thread back to the namespace it came from.
struct Return<'a>(BorrowedFd<'a>);

impl Drop for Return<'_> {
    fn drop(&mut self) {
        if let Err(errno) = setns(self.0, CloneFlags::CLONE_NEWNET) {
            eprintln!("cannot return to the network namespace this thread came from: {errno}");
            std::process::abort();
        }
    }
}

/// Moves the calling thread into a new namespace and binds that to `path`.
fn create_here(path: &Path) -> Result<File> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed("create", path)(errno.into()))?;
    link::set_up("lo").map_err(|source| Error::Loopback {
        path: path.to_owned(),
        source,
    })?;
    mount(
        Some(CURRENT),
        path,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(|errno| failed("bind a name to", path)(errno.into()))?;
    File::open(path).map_err(failed("open", path))
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Step {
        step,
        path: path.to_owned(),
        source,
    }
}
