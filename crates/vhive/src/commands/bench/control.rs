//! The API with many services at scale zero: how fast they are applied and become ready, listed and watched, and what memory
//! the node needs for them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use image::Store;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::lab::machine;
use super::node_process::{NodeProcess, Resident};
use super::{Samples, file_for_values, is_ready, print, verdict, write};
use crate::cli::{Control, Global};
use crate::client::api::{Api, Kind};
use crate::commands::image as images;
use crate::exit::Outcome;
use crate::output;

const NAMESPACE: &str = "default";
/// Clients that apply at the same time, each waiting for its answer.
const CLIENTS: usize = 16;
const LISTS: usize = 20;
/// Changes that are made one at a time, to see how long each takes to reach all watchers.
const CHANGES: usize = 100;
/// Longer than anything here takes by itself.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the node may need and do, on a machine of two cores.
const MEMORY: u64 = 150_000_000;
const APPLIES: f64 = 200.0;

#[derive(Default)]
struct Found {
    idle: Resident,
    applied: Samples,
    ready: Samples,
    /// Of all of them: until all were answered, and until all were ready.
    all_applied: Duration,
    all_ready: Duration,
    /// Once all are ready.
    served: Resident,
    listed: Samples,
    list_bytes: usize,
    /// Of one change at a time, until every watcher had it.
    reached: Samples,
    /// Of many changes, until every watcher had them all.
    burst: Duration,
    loaded: Resident,
}

pub(super) async fn run(global: &Global, args: &Control) -> Outcome {
    let mut arguments = vec!["--snapshot-after", "0", "--spare-hypervisors", "0"];
    let qemu = args.qemu.as_ref().map(|path| path.to_string_lossy());
    if let Some(qemu) = &qemu {
        arguments.extend(["--qemu", qemu]);
    }
    let node = NodeProcess::start(global, &arguments).await?;
    let description = format!(
        "vhive {}, {} services, {} watchers, {CLIENTS} clients; {}",
        env!("CARGO_PKG_VERSION"),
        args.services,
        args.watchers,
        machine()
    );
    println!("{description}");
    let measured = tokio::time::timeout(PATIENCE, measure(&node, args)).await;
    let stopped = node.stop().await;
    let found = measured.context("it takes too long")??;
    stopped?;
    report(args, &found);
    let csv = format!("# {description}\n{}", csv(&found));
    write(&file_for_values(args.csv.as_deref(), "control"), &csv)
}

async fn measure(node: &NodeProcess, args: &Control) -> Outcome<Found> {
    let images = node.data_dir().join("images");
    tokio::task::spawn_blocking(move || images::make_helloworld(&Store::open(&images)?)).await??;
    let api = node.api()?;
    let mut found = Found {
        idle: node.resident()?,
        ..Found::default()
    };
    apply(&api, args.services, &mut found).await?;
    found.served = node.resident()?;
    list(&api, args.services, &mut found).await?;
    watch(&api, args, &mut found).await?;
    found.loaded = node.resident()?;
    Ok(found)
}

/// Applies all services, as `vhive apply` does, and watches them become ready.
async fn apply(api: &Api, services: usize, found: &mut Found) -> Outcome {
    let (version, _) = api.list_with_version(Kind::Service, NAMESPACE).await?;
    let mut changes = api.changes(Kind::Service, NAMESPACE, &version).await?;
    let started = Instant::now();
    let watched = tokio::spawn(async move {
        let mut ready = HashMap::new();
        while ready.len() < services {
            let line = changes.next().await.context("the watch ended")??;
            let event: Value = serde_json::from_str(&line)?;
            let object = &event["object"];
            if is_ready(object) {
                let name = output::text(object, "/metadata/name");
                ready.entry(name).or_insert_with(Instant::now);
            }
        }
        anyhow::Ok(ready)
    });
    let one = |index: usize| async move {
        let service = service(index);
        let begun = Instant::now();
        api.apply(Kind::Service, NAMESPACE, &service).await?;
        Outcome::Ok((name(index), begun, begun.elapsed()))
    };
    let applied: Vec<_> = stream::iter(0..services)
        .map(one)
        .buffer_unordered(CLIENTS)
        .try_collect()
        .await?;
    found.all_applied = started.elapsed();
    let ready = watched.await??;
    for (name, begun, took) in applied {
        let ready = ready
            .get(&name)
            .with_context(|| format!("{name} was not seen ready"))?;
        found.applied.add(took);
        found.ready.add(ready.duration_since(begun));
        found.all_ready = found.all_ready.max(ready.duration_since(started));
    }
    Ok(())
}

async fn list(api: &Api, services: usize, found: &mut Found) -> Outcome {
    for _ in 0..LISTS {
        let started = Instant::now();
        let items = api.list(Kind::Service, Some(NAMESPACE), None).await?;
        found.listed.add(started.elapsed());
        if items.len() != services {
            return Err(anyhow!("{} services are listed", items.len()).into());
        }
        found.list_bytes = serde_json::to_vec(&items)?.len();
    }
    Ok(())
}

/// Changes services while many watch: first one at a time, then all at once.
async fn watch(api: &Api, args: &Control, found: &mut Found) -> Outcome {
    let (version, _) = api.list_with_version(Kind::Service, NAMESPACE).await?;
    let (heard, mut events) = mpsc::unbounded_channel();
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..args.watchers {
        let mut changes = api.changes(Kind::Service, NAMESPACE, &version).await?;
        let heard = heard.clone();
        watchers.spawn(async move {
            // Only counted: reading them would take this process longer than the node needs to send them.
            while let Some(Ok(_)) = changes.next().await {
                if heard.send(()).is_err() {
                    return;
                }
            }
        });
    }
    for change in 0..CHANGES.min(args.services) {
        let started = Instant::now();
        touch(api, change, "one").await?;
        wait_for(&mut events, args.watchers).await?;
        found.reached.add(started.elapsed());
    }
    let started = Instant::now();
    let touched = stream::iter(0..args.services)
        .map(|index| touch(api, index, "all"))
        .buffer_unordered(CLIENTS)
        .try_collect::<()>();
    let all = args.services * args.watchers;
    let (touched, waited) = tokio::join!(touched, wait_for(&mut events, all));
    touched?;
    waited?;
    found.burst = started.elapsed();
    watchers.shutdown().await;
    Ok(())
}

async fn wait_for(events: &mut mpsc::UnboundedReceiver<()>, count: usize) -> Outcome {
    for _ in 0..count {
        events.recv().await.context("the watchers ended")?;
    }
    Ok(())
}

/// Changes a service in a way that changes nothing else.
async fn touch(api: &Api, index: usize, value: &str) -> Outcome {
    let mut service = service(index);
    service["metadata"]["annotations"] = json!({"vhive.dev/bench": value});
    api.apply(Kind::Service, NAMESPACE, &service).await?;
    Ok(())
}

fn name(index: usize) -> String {
    format!("bench-{index:05}")
}

/// A function that is ready without having been started.
fn service(index: usize) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name(index), "namespace": NAMESPACE},
        "spec": {"template": {
            "metadata": {"annotations": {"autoscaling.knative.dev/initial-scale": "0"}},
            "spec": {"containers": [{
                "image": "dev.local/helloworld:latest",
                "ports": [{"name": "h2c", "containerPort": 50051}],
            }]},
        }},
    })
}

fn report(args: &Control, found: &Found) {
    print(&[
        ("apply to the answer", &found.applied),
        ("apply to Ready", &found.ready),
        ("list of all", &found.listed),
        ("a change to all watchers", &found.reached),
    ]);
    let per_second = |count: usize, took: Duration| count as f64 / took.as_secs_f64().max(1e-9);
    let applies = per_second(args.services, found.all_ready);
    println!(
        "applied and ready: {applies:.0} a second ({}); answered: {:.0} a second",
        verdict(applies >= APPLIES, "target ≥ 200"),
        per_second(args.services, found.all_applied),
    );
    let events = args.services * args.watchers;
    println!(
        "events to watchers: {:.0} a second; a list is {} of JSON",
        per_second(events, found.burst),
        output::size(found.list_bytes as u64),
    );
    println!(
        "resident memory of the node: {} idle, {} with all services, {} after all lists and watches, {} at most ({})",
        output::size(found.idle.now),
        output::size(found.served.now),
        output::size(found.loaded.now),
        output::size(found.loaded.peak),
        verdict(found.loaded.now <= MEMORY, "target after all ≤ 150 MB"),
    );
}

fn csv(found: &Found) -> String {
    let mut csv = "what,value,unit\n".to_owned();
    for (what, samples) in [
        ("applied", &found.applied),
        ("ready", &found.ready),
        ("listed", &found.listed),
        ("reached", &found.reached),
    ] {
        for sample in &samples.0 {
            let _ = writeln!(csv, "{what},{:.3},ms", sample.as_secs_f64() * 1e3);
        }
    }
    for (what, took) in [
        ("all_applied", found.all_applied),
        ("all_ready", found.all_ready),
        ("burst", found.burst),
    ] {
        let _ = writeln!(csv, "{what},{:.3},ms", took.as_secs_f64() * 1e3);
    }
    for (what, bytes) in [
        ("list", found.list_bytes as u64),
        ("resident_idle", found.idle.now),
        ("resident_served", found.served.now),
        ("resident", found.loaded.now),
        ("resident_peak", found.loaded.peak),
    ] {
        let _ = writeln!(csv, "{what},{bytes},bytes");
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_written_down() {
        let mut found = Found::default();
        found.applied.add(Duration::from_micros(1500));
        found.loaded.peak = 7;
        let csv = csv(&found);
        assert!(csv.contains("\napplied,1.500,ms\n"), "{csv}");
        assert!(csv.contains("\nresident_peak,7,bytes\n"), "{csv}");
    }
}
