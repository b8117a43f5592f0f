//! A machine in a network of its own, and everything it takes to boot it.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sys::netns::NetNs;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vmm::agent::protocol::{Exited, GUEST, GUEST_MAC, HOST, HOST_MAC, HOST_PORT, PREFIX, Process};
use vmm::agent::{Commands, Error, Event, Events, Listener, Session};
use vmm::kernel::{Kernel, KernelStore, Source};
use vmm::qemu::Qemu;
use vmm::{Accel, DormantConfig, Hypervisor as _, Machine, MachineConfig};

use crate::root;

/// Emulation on a busy host is slow; nothing here measures time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Memory of every machine here.
pub(crate) const MEMORY_MIB: u32 = 192;

/// A booted machine whose agent has said hello.
pub(crate) struct Guest {
    pub(crate) machine: Machine,
    pub(crate) session: Session,
    pub(crate) place: Place,
}

/// A machine whose process was started.
pub(crate) struct Running {
    pub(crate) machine: Machine,
    pub(crate) commands: Commands,
    pub(crate) events: Events,
    pub(crate) place: Place,
}

/// Where a machine lives. Goes with it.
pub(crate) struct Place {
    name: String,
    namespace: PathBuf,
    network: NetNs,
    pub(crate) run_dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vmm-it-{}-{count}", std::process::id());
        let namespace = Path::new("/run/netns").join(&name);
        let network = NetNs::create(&namespace).unwrap();
        let run_dir = tempfile::tempdir().unwrap();
        Place {
            name,
            namespace,
            network,
            run_dir,
        }
    }

    fn tap(&self) -> OwnedFd {
        let tap = self.network.enter(|| {
            let tap = sys::tap::create("tap0", false).unwrap();
            sys::link::set_mac("tap0", HOST_MAC).unwrap();
            sys::link::add_address("tap0", HOST, PREFIX).unwrap();
            sys::link::set_up("tap0").unwrap();
            sys::link::add_neighbour("tap0", GUEST, GUEST_MAC).unwrap();
            tap
        });
        tap.unwrap().fd
    }

    /// Waits for the agent of the machine in this place.
    pub(crate) fn listen(&self) -> Listener {
        let socket = self
            .network
            .tcp_listen(SocketAddrV4::new(HOST, HOST_PORT))
            .unwrap();
        Listener::new(socket).unwrap()
    }

    /// What the guest's web server answers.
    pub(crate) async fn get(&self, path: &str) -> String {
        let address = SocketAddrV4::new(GUEST, 8080);
        let stream = self.network.tcp_connect_nonblocking(address).unwrap();
        let mut stream = TcpStream::from_std(stream).unwrap();
        stream.writable().await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 OK"), "{head}");
        body.to_owned()
    }

    /// A machine for this place that is to wait for a snapshot.
    pub(crate) fn dormant_config(&self) -> DormantConfig {
        DormantConfig {
            name: self.name.clone(),
            run_dir: self.run_dir.path().to_owned(),
            vcpus: 1,
            memory_mib: MEMORY_MIB,
            tap: self.tap(),
            accel: Accel::Tcg,
            uid_gid: None,
        }
    }

    /// A machine for this place, with a tap of its own.
    pub(crate) fn config(&self) -> MachineConfig {
        MachineConfig {
            name: self.name.clone(),
            run_dir: self.run_dir.path().to_owned(),
            kernel: kernel(),
            vcpus: 1,
            memory_mib: MEMORY_MIB,
            root: root::image().to_owned(),
            tap: self.tap(),
            accel: Accel::Tcg,
            uid_gid: None,
            extra_cmdline: String::new(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        NetNs::delete(&self.namespace).unwrap();
    }
}

/// What a process said, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exited: Exited,
}

pub(crate) async fn boot() -> Guest {
    boot_with(|_| {}).await
}

pub(crate) async fn boot_with(change: impl FnOnce(&mut MachineConfig)) -> Guest {
    let place = Place::new();
    let mut config = place.config();
    change(&mut config);
    let listener = place.listen();
    let machine = Qemu::find(None).unwrap().boot(config).await.unwrap();
    match listener.accept(PATIENCE).await {
        Ok(session) => Guest {
            machine,
            session,
            place,
        },
        Err(error) => panic!("{error:?}; console: {}", machine.console_tail()),
    }
}

/// The distribution's kernel, fetched once and kept with what is built.
fn kernel() -> Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL
        .get_or_init(|| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
            let store = KernelStore::open(&folder).unwrap();
            match store.latest().unwrap() {
                Some(kernel) => kernel,
                None => store.import(Source::Distribution, &|_| {}).unwrap(),
            }
        })
        .clone()
}

/// A shell script, as a process.
pub(crate) fn script(script: &str) -> Process {
    command(&["/bin/busybox", "sh", "-c", script])
}

pub(crate) fn command(argv: &[&str]) -> Process {
    Process {
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
        ..Process::default()
    }
}

impl Guest {
    pub(crate) async fn start(mut self, process: Process) -> Result<Running, Error> {
        self.session.start(process, PATIENCE).await?;
        let Guest {
            machine,
            session,
            place,
        } = self;
        let (commands, events) = session.split();
        Ok(Running {
            machine,
            commands,
            events,
            place,
        })
    }

    /// Starts the process and stays with it to its end.
    pub(crate) async fn run(self, process: Process) -> Outcome {
        self.start(process).await.unwrap().outcome().await
    }
}

impl Running {
    pub(crate) async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(PATIENCE, self.events.next()).await;
        next.unwrap_or_else(|_| panic!("silence; console: {}", self.machine.console_tail()))
            .unwrap()
    }

    /// Reads output until `expected` has been seen.
    pub(crate) async fn wait_for(&mut self, expected: &str) {
        let mut seen = String::new();
        while !seen.contains(expected) {
            match self.next().await {
                Event::Stdout(bytes) => seen.push_str(std::str::from_utf8(&bytes).unwrap()),
                other => panic!("{other:?} where {expected:?} was due, after {seen:?}"),
            }
        }
    }

    pub(crate) async fn outcome(mut self) -> Outcome {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let exited = loop {
            match self.next().await {
                Event::Stdout(bytes) => stdout.extend(bytes),
                Event::Stderr(bytes) => stderr.extend(bytes),
                Event::Exited(exited) => break exited,
                other => panic!("{other:?}"),
            }
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome {
            stdout: text(stdout),
            stderr: text(stderr),
            exited,
        }
    }
}

pub(crate) fn code(code: i32) -> Exited {
    Exited {
        code: Some(code),
        signal: None,
        oom: false,
    }
}

pub(crate) fn signal(signal: i32) -> Exited {
    Exited {
        code: None,
        signal: Some(signal),
        oom: false,
    }
}
