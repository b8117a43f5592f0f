//! `vhive up`: the node in the foreground.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use node::Node;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use vmm::kernel::KernelStore;
use vmm::qemu::Qemu;

use super::image as images;
use crate::cli::{Global, NodeArgs, Up};
use crate::exit::{Code, Failure, Outcome};
use crate::host::{self, checks};

/// How long instances may take to finish their requests once the node is told to stop.
const DRAIN: Duration = Duration::from_secs(30);

pub(crate) async fn run(global: &Global, args: &Up) -> Outcome {
    let mut settings = args.node.clone();
    settings.memory = args.original.memory().unwrap_or(settings.memory);
    let node = start(global, &settings, args.api, args.https()).await?;
    eprintln!(
        "the API listens on {}, the ingress on {}",
        node.api_url(),
        node.ingress()
    );
    if let Some(https) = node.https() {
        eprintln!("the ingress listens for TLS on {https}");
    }
    eprintln!(
        "next: vhive apply -f configs/knative_workloads/helloworld.yaml && vhive invoke helloworld --explain"
    );
    if args.original.metrics {
        eprintln!(
            "metrics: {}/metrics (kubectl get --raw /metrics); what each guest was served is logged when it ends, as `served`",
            node.api_url()
        );
    }
    wait_for_signal().await?;
    stop(node).await
}

/// Looks at the host, then starts the node; the sample's image is there before anybody can deploy it.
pub(crate) async fn start(
    global: &Global,
    args: &NodeArgs,
    api: std::net::SocketAddr,
    https: Option<node::Https>,
) -> Outcome<Node> {
    host::require_root()?;
    host::make_data_dir(&global.data_dir)?;
    let data_dir = global.data_dir.clone();
    // Made while the host is looked at, which takes longer.
    let sample = tokio::task::spawn_blocking(move || images::provide_helloworld(&data_dir));
    let kernels = KernelStore::open(&global.data_dir.join("kernels"))?;
    let kernel = kernels.latest()?.ok_or_else(|| {
        Failure::new(Code::Failed, anyhow!("there is no guest kernel under {}", global.data_dir.join("kernels").display()))
            .hint("get one: vhive kernel fetch, or vhive kernel import FILE.deb on a machine without a network")
    })?;
    let choice = args.accel;
    let accel = tokio::task::spawn_blocking(move || host::accel(choice)).await??;
    let qemu = Qemu::find(args.qemu.as_deref()).map_err(|error| {
        let hint = match &args.qemu {
            Some(_) => checks::OTHER_QEMU,
            None => "apt-get install --no-install-recommends qemu-system-x86, or let `vhive quickstart` do it",
        };
        Failure::new(Code::Failed, error).hint(hint)
    })?;
    // Everything else works without it.
    if let Err(failure) = sample.await? {
        eprintln!("the image of the sample function was not made\n{failure}");
    }
    let node = Node::start(node::Config {
        data_dir: global.data_dir.clone(),
        api,
        ingress: args.ingress,
        https,
        domain: args.domain.clone(),
        net_pool_size: args.net_pool_size,
        hypervisor_version: format!("QEMU {}", qemu.version()),
        hypervisor: Arc::new(qemu),
        accel,
        hypervisor_users: host::users::of_hypervisors(accel),
        kernel,
        retention: node::Retention::default(),
        snapshots: node::SnapshotConfig {
            after: args.snapshot_after,
            memory: args.memory,
            space: args.snapshot_space << 30,
            spare_hypervisors: args.spare_hypervisors,
        },
    })
    .await
    .map_err(|error| {
        let hint = error.next_step();
        Failure::new(Code::Failed, error).hint(hint)
    })?;
    let recovered = node.recovered();
    if *recovered != node::Recovered::default() {
        info!(
            processes = recovered.processes,
            namespaces = recovered.namespaces,
            folders = recovered.folders,
            "took down what an earlier node left"
        );
    }
    Ok(node)
}

/// Waits for ctrl-c or a request to terminate.
pub(crate) async fn wait_for_signal() -> Outcome {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Drains and stops the node; a second ctrl-c stops the waiting, not the cleaning at the next start.
pub(crate) async fn stop(node: Node) -> Outcome {
    eprintln!(
        "stopping: requests have {} s to finish (ctrl-c again to give up on them)",
        DRAIN.as_secs()
    );
    tokio::select! {
        () = node.shutdown(DRAIN) => Ok(()),
        signalled = wait_for_signal() => {
            signalled?;
            Err(Failure::new(Code::Failed, anyhow!("stopped before everything was taken down"))
                .hint("the next `vhive up` takes down what is left"))
        }
    }
}
