//! `vhive cri`: the CRI endpoint of a kubelet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use cri::Server;
use sandbox::Sandbox;
use tracing::{info, warn};
use vmm::kernel::KernelStore;
use vmm::qemu::Qemu;

use super::up::wait_for_signal;
use crate::cli::{Cri, Global};
use crate::exit::{Code, Failure, Outcome};
use crate::host;

/// Emulation on a busy machine is slow.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
/// An instance's own log is copied as it grows: one and the one before it are for what comes faster than that.
const LOG_MAX_BYTES: u64 = 8 << 20;
/// What runs in microVMs has so long to end when the endpoint is told to.
const GRACE: Duration = Duration::from_secs(10);

/// The runtime classes that name what there is here to run microVMs.
const HANDLERS: [&str; 2] = ["vhive", "vhive-qemu"];

pub(crate) async fn run(global: &Global, args: &Cri) -> Outcome {
    host::require_root()?;
    host::make_data_dir(&global.data_dir)?;
    for flag in &args.ignored {
        warn!(flag, "has no effect here");
    }
    let sandbox = sandbox(global, args).await?;
    let folder = global.data_dir.join("cri");
    let memory = args.original.memory().or(args.memory);
    let server = Server::start(cri::Config {
        socket: args.socket.clone(),
        containerd: args.containerd.clone(),
        state_dir: folder.join("state"),
        images: image::Store::open(&folder.join("images"))?,
        sandbox,
        handlers: HANDLERS.map(str::to_owned).into(),
        memory,
        orchestrator: (args.orchestrator != 0).then_some(args.orchestrator),
    })
    .await?;
    eprintln!("the CRI endpoint listens on {}", args.socket.display());
    eprintln!(
        "next: start the kubelet with --container-runtime-endpoint=unix://{}",
        args.socket.display()
    );
    wait_for_signal().await?;
    eprintln!(
        "stopping: microVMs have {} s to end; containers of containerd go on",
        GRACE.as_secs()
    );
    server.shutdown(GRACE).await;
    Ok(())
}

async fn sandbox(global: &Global, args: &Cri) -> Outcome<Sandbox> {
    let kernels = global.data_dir.join("kernels");
    let kernel = KernelStore::open(&kernels)?.latest()?.ok_or_else(|| {
        let missing = anyhow!("there is no guest kernel under {}", kernels.display());
        Failure::new(Code::Failed, missing).hint(
            "get one: vhive kernel fetch, or vhive kernel import FILE.deb on a machine without a network",
        )
    })?;
    let choice = args.accel;
    let accel = tokio::task::spawn_blocking(move || host::accel(choice)).await??;
    let qemu = Qemu::find(args.qemu.as_deref()).map_err(|error| {
        Failure::new(Code::Failed, error)
            .hint("apt-get install --no-install-recommends qemu-system-x86")
    })?;
    let folder = global.data_dir.join("cri");
    let run_dir = folder.join("run");
    let config = sandbox::Config {
        node_id: sandbox::Config::node_id_for(&run_dir),
        run_dir,
        net_pool_size: args.net_pool_size,
        spare_hypervisors: args.spare_hypervisors,
        snapshot_space: args.snapshot_space << 30,
        snapshot_dir: folder.join("snapshots"),
        accel,
        log_max_bytes: LOG_MAX_BYTES,
        boot_deadline: BOOT_DEADLINE,
        hypervisor_users: host::users::of_hypervisors(accel),
    };
    let (sandbox, recovered) = Sandbox::open(config, Arc::new(qemu), kernel).await?;
    if recovered != sandbox::Recovered::default() {
        info!(
            processes = recovered.processes,
            namespaces = recovered.namespaces,
            folders = recovered.folders,
            "took down what an earlier endpoint left"
        );
    }
    Ok(sandbox)
}
