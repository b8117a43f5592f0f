//! `vhive quickstart`: everything once, from an empty machine to a function that answered, with where the time went.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use hdrhistogram::Histogram;
use image::Store;
use serde_json::{Value, json};
use vmm::kernel::{KernelStore, Source};

use super::{apply, image as images, invoke, up};
use crate::cli::{Global, Quickstart};
use crate::client::api::{Api, Kind};
use crate::client::ingress::{Connection, Protocol, Reply, Target};
use crate::exit::{Failure, Outcome};
use crate::host::{self, checks, packages};
use crate::output::{self, text};

/// A name of its own, so that no function of the user is touched.
const NAME: &str = "quickstart-helloworld";
const NAMESPACE: &str = "default";
const MANIFEST: &str = include_str!("../../../../configs/knative_workloads/helloworld.yaml");
const READY: Duration = Duration::from_secs(180);
const CALL: Duration = Duration::from_secs(120);
const CLEAN: Duration = Duration::from_secs(10);
/// Instances cannot be watched, so they are looked at this often while they end.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn run(global: &Global, args: &Quickstart) -> Outcome {
    host::require_root()?;
    host::make_data_dir(&global.data_dir)?;
    provide_qemu(args).await?;
    provide_kernel(global, args.yes).await?;

    step("image", "making dev.local/helloworld:latest");
    let data_dir = global.data_dir.clone();
    tokio::task::spawn_blocking(move || -> Outcome {
        let store = Store::open(&data_dir.join("images"))?;
        images::make_helloworld(&store).map(drop)
    })
    .await??;

    step("node", "starting");
    let api_address = if args.keep {
        (Ipv4Addr::LOCALHOST, 7443)
    } else {
        (Ipv4Addr::LOCALHOST, 0)
    };
    let node = up::start(global, &args.node, SocketAddr::from(api_address), None).await?;
    let outcome = tokio::select! {
        outcome = show(global, args, &node) => outcome,
        signalled = up::wait_for_signal() => {
            signalled.and_then(|()| Err(anyhow!("stopped before the end").into()))
        }
    };
    if let Err(failure) = outcome {
        step("clean", "removing the service and stopping the node");
        // The failure itself matters more than one of the cleaning; the next run removes what is left.
        if let Ok(api) = Api::new(node.api_url(), &global.data_dir) {
            let _ = tokio::time::timeout(CLEAN, undeploy(&api)).await;
        }
        node.shutdown(Duration::from_secs(5)).await;
        return Err(failure);
    }
    if args.keep {
        eprintln!("\nthe node keeps running; ctrl-c stops it. In another terminal:");
        next_commands(global, "");
        up::wait_for_signal().await?;
        return up::stop(node).await;
    }
    node.shutdown(Duration::from_secs(10)).await;
    eprintln!("\nnothing is left running. To go on:");
    next_commands(global, "vhive up &");
    Ok(())
}

async fn show(global: &Global, args: &Quickstart, node: &node::Node) -> Outcome {
    let api = Api::new(node.api_url(), &global.data_dir)?;
    step(
        "service",
        "applying configs/knative_workloads/helloworld.yaml",
    );
    let service = deploy(&api).await?;
    let url = text(&service, "/status/url");
    step("cold", &format!("invoking {url} at scale zero"));
    let target = Target::of(&url, None).await?;
    let mut connection = Connection::open(&target, Protocol::Grpc).await?;
    let cold = connection
        .call("/", "world", true, CALL)
        .await
        .context("the cold invocation failed")?;
    step("warm", &format!("invoking it {} times more", args.warm));
    let warm = measure_warm(&mut connection, args.warm).await?;
    report(&cold, &warm)?;
    if args.node.snapshot_after > 0 {
        show_restore(&api, &mut connection, &cold).await?;
    }
    if !args.keep {
        undeploy(&api).await?;
    }
    Ok(())
}

/// Saves the function, lets it go to zero, and wakes it from its snapshot.
async fn show_restore(api: &Api, connection: &mut Connection, booted: &Reply) -> Outcome {
    step(
        "snapshot",
        "taking one, and letting the function go to zero",
    );
    let service = api.get(Kind::Service, NAMESPACE, NAME).await?;
    let revision = text(&service, "/status/latestReadyRevisionName");
    tokio::time::timeout(CALL, save(api, &revision))
        .await
        .context("no snapshot came about")??;
    tokio::time::timeout(CALL, wait_for_zero(api, &revision))
        .await
        .context("the function did not go to zero")??;
    step("restore", "invoking it at scale zero again");
    let restored = connection
        .call("/", "world", true, CALL)
        .await
        .context("the invocation that restores it failed")?;
    output::say(format_args!(
        "\nCold start from its snapshot ({:.1} times as quick):\n{}",
        booted.elapsed.as_secs_f64() / restored.elapsed.as_secs_f64().max(f64::EPSILON),
        invoke::breakdown(&restored)
    ))?;
    Ok(())
}

/// Sees to it that there is a snapshot: the node takes one by itself, too, and only one at a time.
async fn save(api: &Api, revision: &str) -> Outcome {
    let wish =
        json!({"kind": "Snapshot", "apiVersion": "vhive.dev/v1", "spec": {"revision": revision}});
    loop {
        let snapshots = api.list(Kind::Snapshot, Some(NAMESPACE), None).await?;
        if snapshots
            .iter()
            .any(|it| text(it, "/spec/revision") == revision)
            || api.create(Kind::Snapshot, NAMESPACE, &wish).await.is_ok()
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn wait_for_zero(api: &Api, revision: &str) -> Outcome {
    let mut changes = api.watch(Kind::Revision, NAMESPACE, revision).await?;
    while let Some(change) = changes.next().await {
        if text(&change?, "/status/actualReplicas") == "0" {
            return Ok(());
        }
    }
    Err(anyhow!("revision {revision} is gone").into())
}

/// Deletes the service and waits until none of its instances is left.
pub(super) async fn undeploy(api: &Api) -> Outcome {
    api.delete(Kind::Service, NAMESPACE, NAME).await?;
    let selector = format!("serving.knative.dev/service%3D{NAME}");
    let revisions = api
        .list(Kind::Revision, Some(NAMESPACE), Some(&selector))
        .await?;
    for revision in revisions {
        wait_gone(api, Kind::Revision, &text(&revision, "/metadata/name")).await?;
    }
    while !api
        .list(Kind::Instance, Some(NAMESPACE), Some(&selector))
        .await?
        .is_empty()
    {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn wait_gone(api: &Api, kind: Kind, name: &str) -> Outcome {
    loop {
        // The watch is open before the look, so that a deletion between them is not missed.
        let mut changes = api.watch(kind, NAMESPACE, name).await?;
        if api.find(kind, NAMESPACE, name).await?.is_none() {
            return Ok(());
        }
        while let Some(change) = changes.next().await {
            change?;
        }
    }
}

/// Applies the manifest with an initial scale of zero, so that the first request is a cold start, and the shortest window, so that
/// it is at zero again soon.
///
/// What a run that was broken off left is removed first: it may be warm, or have failed.
pub(super) async fn deploy(api: &Api) -> Outcome<Value> {
    if api.find(Kind::Service, NAMESPACE, NAME).await?.is_some() {
        undeploy(api).await?;
    }
    let mut manifest: Value = serde_yaml_ng::from_str(MANIFEST).context("the built-in manifest")?;
    manifest["metadata"]["name"] = json!(NAME);
    manifest["spec"]["template"]["metadata"] = json!({"annotations": {
        "autoscaling.knative.dev/initial-scale": "0",
        "autoscaling.knative.dev/window": "6s",
    }});
    let (stored, _) = api.apply(Kind::Service, NAMESPACE, &manifest).await?;
    let generation = stored
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    apply::wait_ready(api, NAMESPACE, NAME, generation, READY).await
}

async fn measure_warm(connection: &mut Connection, calls: usize) -> Outcome<Histogram<u64>> {
    let mut histogram = Histogram::new(3).map_err(|error| anyhow!("{error:?}"))?;
    for _ in 0..calls.max(1) {
        let reply = connection
            .call("/", "world", false, CALL)
            .await
            .context("a warm invocation failed")?;
        histogram.record(reply.elapsed.as_micros() as u64)?;
    }
    Ok(histogram)
}

fn report(cold: &Reply, warm: &Histogram<u64>) -> Outcome {
    let quantile =
        |quantile| output::duration(Duration::from_micros(warm.value_at_quantile(quantile)));
    output::say(format_args!("\n{}", cold.text))?;
    output::say(format_args!(
        "\nCold start, from zero to the answer:\n{}",
        invoke::breakdown(cold)
    ))?;
    output::say(format_args!(
        "\nWarm, {} requests: p50 {}, p99 {}",
        warm.len(),
        quantile(0.5),
        quantile(0.99)
    ))?;
    Ok(())
}

fn next_commands(global: &Global, first: &str) {
    let mut option = String::new();
    if global.data_dir != std::path::Path::new("/var/lib/vhive") {
        option = format!(" --data-dir {}", global.data_dir.display());
    }
    if !first.is_empty() {
        eprintln!("  {}", first.replace("vhive", &format!("vhive{option}")));
    }
    for command in [
        "apply -f configs/knative_workloads/helloworld.yaml",
        "invoke helloworld --explain",
        "get services",
        "logs helloworld",
        "delete helloworld",
    ] {
        eprintln!("  vhive{option} {command}");
    }
}

async fn provide_qemu(args: &Quickstart) -> Outcome {
    let named = args.node.qemu.as_deref();
    let checks::Finding::Missing { what, remedy } = checks::qemu(named) else {
        return Ok(());
    };
    if named.is_some() {
        return Err(Failure::from(anyhow!(what)).hint(checks::OTHER_QEMU));
    }
    step("host", &what);
    if !args.yes && !packages::confirm(&format!("Install {} now?", packages::QEMU))? {
        return Err(
            Failure::from(anyhow!(what)).hint(format!("{remedy}; or run quickstart with --yes"))
        );
    }
    let started = Instant::now();
    packages::install(packages::QEMU).await?;
    step(
        "host",
        &format!(
            "installed {} in {}",
            packages::QEMU,
            output::duration(started.elapsed())
        ),
    );
    Ok(())
}

async fn provide_kernel(global: &Global, yes: bool) -> Outcome {
    if !matches!(
        checks::kernel(&global.data_dir),
        checks::Finding::Missing { .. }
    ) {
        return Ok(());
    }
    let question = format!(
        "Download the distribution's kernel package into {} (it is not installed)?",
        global.data_dir.display()
    );
    if !yes && !packages::confirm(&question)? {
        return Err(Failure::from(anyhow!("there is no guest kernel")).hint(
            "vhive kernel fetch, or vhive kernel import FILE.deb; or run quickstart with --yes",
        ));
    }
    let store = KernelStore::open(&global.data_dir.join("kernels"))?;
    let kernel = tokio::task::spawn_blocking(move || {
        store.import(Source::Distribution, &|progress| step("kernel", progress))
    })
    .await??;
    step("kernel", &format!("{} is ready", kernel.release));
    Ok(())
}

/// One line of progress.
fn step(name: &str, what: &str) {
    eprintln!("{name:>8}  {what}");
}
