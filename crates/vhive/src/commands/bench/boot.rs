//! Cold start of helloworld, by booting, beside a bare boot of the same kernel to its first process.
//!
//! The bare boot is the same machine, whose first process runs and ends it at once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use image::Store;
use sys::netns::NetNs;
use vmm::kernel::{Kernel, KernelStore};
use vmm::qemu::Qemu;
use vmm::{Accel, Hypervisor, MachineConfig};

use super::{Samples, print};
use crate::cli::{Global, NodeArgs};
use crate::client::api::Api;
use crate::client::ingress::{Connection, Protocol, Target};
use crate::commands::{image as images, quickstart, up};
use crate::exit::Outcome;
use crate::host;
use crate::output::text;

const CALL: Duration = Duration::from_secs(120);
const MEMORY_MIB: u32 = 256;

pub(super) async fn run(global: &Global, rounds: usize, args: &NodeArgs) -> Outcome {
    let node = up::start(global, args, ([127, 0, 0, 1], 0).into(), None).await?;
    let outcome = measure(global, rounds, args, &node).await;
    node.shutdown(Duration::from_secs(10)).await;
    outcome
}

async fn measure(global: &Global, rounds: usize, args: &NodeArgs, node: &node::Node) -> Outcome {
    let api = Api::new(node.api_url(), &global.data_dir)?;
    let qemu = Qemu::find(args.qemu.as_deref())?;
    let kernel = KernelStore::open(&global.data_dir.join("kernels"))?
        .latest()?
        .context("there is no guest kernel")?;
    let accel = host::accel(args.accel)?;
    let store = Store::open(&global.data_dir.join("images"))?;
    let image = store
        .resolve(&images::make_helloworld(&store)?)?
        .context("the image was removed meanwhile")?;
    let root = store.root(&image, &image::Limits::default())?;
    let (mut bare, mut cold) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        bare.add(bare_boot(&qemu, &kernel, accel, &root.path).await?);
        // A new service each time starts at zero: nothing of the last round helps it.
        let service = quickstart::deploy(&api).await?;
        let target = Target::of(&text(&service, "/status/url"), None).await?;
        let mut connection = Connection::open(&target, Protocol::Grpc).await?;
        let reply = connection
            .call("/", "bench", true, CALL)
            .await
            .context("a cold invocation failed")?;
        cold.add(reply.elapsed);
        quickstart::undeploy(&api).await?;
    }
    println!("{} rounds, {}", rounds, node.describe());
    print(&[
        ("bare boot to the first process", &bare),
        ("cold start to the answer", &cold),
    ]);
    let ratio = cold.median().as_secs_f64() / bare.median().as_secs_f64().max(f64::EPSILON);
    println!("ratio {ratio:.2}");
    Ok(())
}

/// From starting QEMU until it has ended, which its first process brings about.
async fn bare_boot(qemu: &Qemu, kernel: &Kernel, accel: Accel, root: &Path) -> Outcome<Duration> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let network = NetNs::create(
        &Path::new("/run/netns").join(format!("vhive-bench-{}", std::process::id())),
    )?;
    let made = network.enter(|| sys::tap::create("tap0", false));
    let started = Instant::now();
    let ended = async {
        let mut machine = qemu
            .boot(MachineConfig {
                name: "bare".to_owned(),
                run_dir: folder.path().to_owned(),
                kernel: kernel.clone(),
                vcpus: 1,
                memory_mib: MEMORY_MIB,
                root: root.to_owned(),
                tap: made??.fd,
                accel,
                uid_gid: None,
                extra_cmdline: "-- halt".to_owned(),
            })
            .await?;
        machine.wait().await?;
        Outcome::Ok(started.elapsed())
    }
    .await;
    NetNs::delete(network.path())?;
    ended
}
