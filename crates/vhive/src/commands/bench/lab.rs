//! A sandbox for measurements: no gateway and no API, the kernel and images of the data directory, everything else of its own.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use image::{Reference, Store};
use sandbox::snapshots::Snapshot;
use sandbox::{Config, Handle, Memory, Phase, Probe, Process, Sandbox, SnapshotUse, Spec, State};
use tempfile::TempDir;
use vmm::kernel::KernelStore;
use vmm::qemu::Qemu;

use crate::cli::{Global, GuestArgs};
use crate::client::ingress::{Connection, Protocol};
use crate::commands::image as images;
use crate::exit::{Failure, Outcome};
use crate::host;

/// No request of a sample function takes this long, also under emulation.
const CALL: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(120);
/// How long the writing down of a working set may take.
const RECORDED: Duration = Duration::from_secs(20);
const PORT: u16 = 50051;
const OPEN_FILES: u64 = 1_048_576;
const SNAPSHOT_SPACE: u64 = 64 << 30;
const LOG_MAX_BYTES: u64 = 1 << 20;

pub(super) struct Lab {
    pub(super) sandbox: Sandbox,
    store: Store,
    /// In the data directory: on the disk where snapshots are.
    folder: TempDir,
    protocol: Protocol,
    guest_memory: u32,
    next: AtomicU64,
    /// Machine, hypervisor, accelerator, kernel, versions.
    pub(super) description: String,
}

/// A function that can be started.
pub(super) struct Function {
    pub(super) name: String,
    root: PathBuf,
    process: Process,
}

/// An instance that has answered its first request.
pub(super) struct Answered {
    pub(super) handle: Handle,
    /// From the start to the first byte of the answer.
    pub(super) took: Duration,
    pub(super) phases: Vec<Phase>,
}

impl Answered {
    /// How long the phase of this name took; zero if there was none.
    pub(super) fn phase(&self, name: &str) -> Duration {
        let of_name = self.phases.iter().filter(|phase| phase.name == name);
        of_name.map(|phase| phase.duration).sum()
    }
}

impl Lab {
    /// Opens it with so many hypervisors that wait.
    pub(super) async fn open(
        global: &Global,
        args: &GuestArgs,
        guest_memory: u32,
        spares: usize,
    ) -> Outcome<Self> {
        host::require_root()?;
        host::make_data_dir(&global.data_dir)?;
        let kernel = KernelStore::open(&global.data_dir.join("kernels"))?
            .latest()?
            .ok_or_else(|| {
                Failure::from(anyhow!("there is no guest kernel"))
                    .hint("get one: vhive kernel fetch")
            })?;
        let choice = args.accel;
        let accel = tokio::task::spawn_blocking(move || host::accel(choice)).await??;
        let qemu = Qemu::find(args.qemu.as_deref())?;
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&global.data_dir)
            .with_context(|| format!("cannot make a folder in {}", global.data_dir.display()))?;
        let description = format!(
            "vhive {}, QEMU {}, {accel:?}, guest kernel {}, {} MiB per guest; {}",
            env!("CARGO_PKG_VERSION"),
            qemu.version(),
            kernel.release,
            guest_memory,
            machine()
        );
        let run_dir = folder.path().join("run");
        let (sandbox, _) = Sandbox::open(
            Config {
                node_id: Config::node_id_for(&run_dir),
                run_dir,
                net_pool_size: spares + 2,
                spare_hypervisors: spares,
                snapshot_space: SNAPSHOT_SPACE,
                snapshot_dir: folder.path().join("snapshots"),
                accel,
                log_max_bytes: LOG_MAX_BYTES,
                boot_deadline: START,
                hypervisor_users: host::users::of_hypervisors(accel),
            },
            Arc::new(qemu),
            kernel,
        )
        .await?;
        Ok(Self {
            sandbox,
            store: Store::open(&global.data_dir.join("images"))?,
            folder,
            protocol: if args.http {
                Protocol::Http
            } else {
                Protocol::Grpc
            },
            guest_memory,
            next: AtomicU64::new(0),
            description,
        })
    }

    /// Takes everything down.
    pub(super) async fn close(self) {
        self.sandbox.shutdown(Duration::ZERO).await;
    }

    /// The function of the image dev.local/NAME:latest.
    pub(super) fn function(&self, name: &str) -> Outcome<Function> {
        let reference = if name == "helloworld" {
            images::make_helloworld(&self.store)?
        } else {
            Reference::from_str(&format!("dev.local/{name}:latest"))
                .map_err(|error| Failure::usage(format!("function {name:?}: {error}")))?
        };
        let image = self.store.resolve(&reference)?.ok_or_else(|| {
            Failure::not_found(format!("there is no image {reference}")).hint(format!(
                "make it: functions/build {name}, with the same data directory in VHIVE_DATA_DIR"
            ))
        })?;
        let root = self.store.root(&image, &image::Limits::default())?;
        let config = &image.config;
        let mut env = config.env.clone();
        env.push(("PORT".to_owned(), PORT.to_string()));
        if !env.iter().any(|(name, _)| name == "PATH") {
            let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
            env.push(("PATH".to_owned(), path.to_owned()));
        }
        Ok(Function {
            name: name.to_owned(),
            root: root.path,
            process: Process {
                argv: [&config.entrypoint[..], &config.cmd[..]].concat(),
                env,
                cwd: config.workdir.clone(),
                user: config.user.clone(),
                hostname: name.to_owned(),
                rlimit_nofile: OPEN_FILES,
                ..Process::default()
            },
        })
    }

    /// Starts an instance and has it answer one request. Without `memory` it is booted.
    pub(super) async fn start(
        &self,
        function: &Function,
        memory: Option<Memory>,
    ) -> Outcome<Answered> {
        self.start_with(function, memory.map(|memory| use_of(function, memory)))
            .await
    }

    async fn start_with(
        &self,
        function: &Function,
        snapshot: Option<SnapshotUse>,
    ) -> Outcome<Answered> {
        let id = format!("b{}", self.next.fetch_add(1, Ordering::Relaxed));
        let spec = Spec {
            log: self.folder.path().join("logs").join(&id),
            id,
            root: function.root.clone(),
            process: function.process.clone(),
            vcpus: 1,
            memory_mib: self.guest_memory,
            port: PORT,
            probe: Probe::Tcp { port: PORT },
            checks: sandbox::Checks::default(),
            ready_deadline: START,
            snapshot,
        };
        let started = Instant::now();
        let handle = self.sandbox.start(spec);
        match handle.settled().await {
            State::Ready => {}
            State::Failed(failure) => bail_start(&function.name, &failure.message)?,
            state => bail_start(&function.name, &state.to_string())?,
        }
        let before = started.elapsed();
        let answer = self.request(&handle).await?;
        Ok(Answered {
            phases: handle.phases(),
            handle,
            took: before + answer,
        })
    }

    /// One request over a connection of its own, from connecting to the first byte of the answer.
    pub(super) async fn request(&self, handle: &Handle) -> Outcome<Duration> {
        let started = Instant::now();
        let stream = handle.connect().await.context("cannot connect")?;
        let mut connection = Connection::over(stream, "bench", self.protocol).await?;
        let connected = started.elapsed();
        let reply = connection
            .call("/", "bench", false, CALL)
            .await
            .context("a request failed")?;
        Ok(connected + reply.head)
    }

    /// Boots the function, has it answer twice, takes a snapshot, and records the working set by one restore.
    pub(super) async fn snapshot(&self, function: &Function) -> Outcome<Arc<Snapshot>> {
        let booted = self
            .start_with(function, Some(use_of(function, Memory::Reap)))
            .await?;
        self.request(&booted.handle).await?;
        let snapshot = booted.handle.save().await?;
        end(&booted.handle).await;
        self.record(function, &snapshot).await?;
        Ok(snapshot)
    }

    /// Records the working set, if there is none.
    pub(super) async fn record(&self, function: &Function, snapshot: &Snapshot) -> Outcome {
        if snapshot.working_set_header().is_some() {
            return Ok(());
        }
        let restored = self.start(function, Some(Memory::Reap)).await?;
        restored.handle.served();
        let recorded = async {
            while snapshot.working_set_header().is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let recorded = tokio::time::timeout(RECORDED, recorded).await;
        end(&restored.handle).await;
        recorded.context("the working set was not recorded")?;
        Ok(())
    }
}

fn use_of(function: &Function, memory: Memory) -> SnapshotUse {
    SnapshotUse {
        key: function.name.clone(),
        memory,
    }
}

fn bail_start(name: &str, why: &str) -> anyhow::Result<()> {
    bail!("{name} did not start: {why}")
}

/// Stops an instance and waits until all of it is gone.
pub(super) async fn end(handle: &Handle) {
    handle.stop(Duration::ZERO);
    handle.stopped().await;
}

/// What this machine is, on one line.
pub(super) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    format!(
        "{cores} × {model}, Linux {}, load {}",
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default()
    )
}
