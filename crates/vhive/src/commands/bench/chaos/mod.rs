//! Instances killed at random under load: what becomes of the requests.
//!
//! A node of its own runs real guests, and requests come at a steady rate whatever becomes of them. Every now and then the hypervisor
//! of an instance is killed. Every request must get a response; only one that was in flight on an instance when that was killed may fail,
//! as 502 or 503, and must name the instance. So may one that was sent to it in the moment before its end was noticed: what is sent may have
//! arrived, so it is not sent again.

mod load;
mod verdict;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use image::Store;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use self::load::{Load, Request};
use self::verdict::Verdict;
use super::lab::machine;
use super::node_process::NodeProcess;
use super::{Samples, is_ready, print};
use crate::cli::{Chaos, Global};
use crate::client::api::{Api, Kind};
use crate::commands::image as images;
use crate::exit::Outcome;
use crate::output;

const NAMESPACE: &str = "default";
const NAME: &str = "chaos";
const HOST: &str = "chaos.default.127.0.0.1.sslip.io";
/// Longer than any function needs to become ready, also under emulation.
const READY: Duration = Duration::from_secs(300);

/// An instance whose hypervisor was killed.
#[derive(Debug, Clone)]
struct Kill {
    instance: String,
    at: Instant,
}

pub(super) async fn run(global: &Global, args: &Chaos) -> Outcome {
    let mut arguments = Vec::new();
    let qemu = args.qemu.as_ref().map(|path| path.to_string_lossy());
    if let Some(qemu) = &qemu {
        arguments.extend(["--qemu", qemu]);
    }
    let node = NodeProcess::start(global, &arguments).await?;
    println!(
        "vhive {}, {} instances, {} requests a second of {} each, a kill every {} on average, for {}; {}",
        env!("CARGO_PKG_VERSION"),
        args.instances,
        args.rate,
        output::duration(args.hold),
        output::duration(args.kill_every),
        output::duration(args.time),
        machine()
    );
    let happened = happen(&node, args).await;
    let stopped = node.stop().await;
    let (requests, kills) = happened?;
    stopped?;
    report(&requests, &kills)
}

/// Lets requests come and instances die, and returns both.
async fn happen(node: &NodeProcess, args: &Chaos) -> Outcome<(Vec<Request>, Vec<Kill>)> {
    let images = node.data_dir().join("images");
    tokio::task::spawn_blocking(move || images::make_helloworld(&Store::open(&images)?)).await??;
    let api = node.api()?;
    api.apply(Kind::Service, NAMESPACE, &service(args.instances))
        .await?;
    let ready = tokio::time::timeout(READY, until_ready(&api)).await;
    ready.context("the function does not become ready")??;

    let kills = Arc::<Mutex<Vec<Kill>>>::default();
    let load = Load {
        ingress: node.ingress(),
        host: HOST,
        rate: args.rate,
        hold: args.hold,
    };
    let run_dir = node.data_dir().join("run");
    let requests = tokio::select! {
        requests = load.run(args.time) => requests,
        failed = kill(&api, &run_dir, args.kill_every, &kills) => return Err(failed),
    };
    let kills = kills.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((requests, kills))
}

async fn until_ready(api: &Api) -> Outcome {
    let mut changes = api.watch(Kind::Service, NAMESPACE, NAME).await?;
    while let Some(service) = changes.next().await {
        if is_ready(&service?) {
            return Ok(());
        }
    }
    Err(anyhow!("the watch ended").into())
}

fn service(instances: u32) -> Value {
    let scale = instances.to_string();
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"template": {
            "metadata": {"annotations": {
                "autoscaling.knative.dev/min-scale": scale,
                "autoscaling.knative.dev/max-scale": scale,
            }},
            "spec": {"containers": [{
                "image": "dev.local/helloworld:latest",
                "ports": [{"containerPort": 50051}],
                "resources": {"limits": {"memory": "128Mi"}},
            }]},
        }},
    })
}

/// Kills one ready instance after the other, at random times. Returns only if it cannot.
async fn kill(
    api: &Api,
    run_dir: &Path,
    every: Duration,
    kills: &Mutex<Vec<Kill>>,
) -> crate::exit::Failure {
    loop {
        // Sometimes the next dies before the one before it has been replaced.
        tokio::time::sleep(every.mul_f64(2.0 * fastrand::f64())).await;
        let pods = match api.list(Kind::Pod, Some(NAMESPACE), None).await {
            Ok(pods) => pods,
            Err(failure) => return failure,
        };
        let mut ready: Vec<(String, i32)> = pods.iter().filter_map(ready_instance).collect();
        fastrand::shuffle(&mut ready);
        let Some((instance, pid)) = ready.pop() else {
            continue;
        };
        if !is_hypervisor(pid, run_dir) {
            continue;
        }
        // In this order: a request may fail as soon as it is dead.
        let at = Instant::now();
        let killed = Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
        if killed {
            let mut kills = kills.lock().unwrap_or_else(PoisonError::into_inner);
            kills.push(Kill { instance, at });
        }
    }
}

/// Name and hypervisor of a Pod that answers requests.
fn ready_instance(pod: &Value) -> Option<(String, i32)> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions
        .iter()
        .any(|it| it["type"] == "Ready" && it["status"] == "True");
    let pid = pod["metadata"]["annotations"]["vhive.dev/pid"].as_str()?;
    let name = pod["metadata"]["name"].as_str()?;
    ready.then(|| Some((name.to_owned(), pid.parse().ok()?)))?
}

/// Whether a process is one of this node's hypervisors: its number may be another's by now.
fn is_hypervisor(pid: i32, run_dir: &Path) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    let of = variables.find_map(|pair| pair.strip_prefix(b"VHIVE_INSTANCE="));
    of.is_some_and(|of| of.starts_with(run_dir.as_os_str().as_encoded_bytes()))
}

fn report(requests: &[Request], kills: &[Kill]) -> Outcome {
    let verdict = Verdict::of(requests, kills);
    println!("{}", verdict.table());
    let mut took = Samples::default();
    for request in requests.iter().filter(|it| it.is_well()) {
        took.add(request.ended - request.started);
    }
    print(&[("answered", &took)]);
    for violation in &verdict.violations {
        println!("violation: {violation}");
    }
    if verdict.holds() {
        let noticed = output::duration(verdict.noticed());
        println!(
            "only requests of killed instances failed, and each says so; the last was sent to one {noticed} after it was killed"
        );
        return Ok(());
    }
    Err(anyhow!(
        "{} requests were treated as they must not be, of {}; {} kills",
        verdict.violations.len(),
        requests.len(),
        kills.len()
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_that_answer_are_killed() {
        let pod = |ready: &str, annotations: Value| {
            json!({
                "metadata": {"name": "a", "annotations": annotations},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let pid = json!({"vhive.dev/pid": "17"});
        assert_eq!(
            ready_instance(&pod("True", pid.clone())),
            Some(("a".to_owned(), 17))
        );
        assert_eq!(ready_instance(&pod("False", pid)), None);
        assert_eq!(ready_instance(&pod("True", json!({}))), None);
    }

    #[test]
    fn another_process_is_not_taken_for_a_hypervisor() {
        let own = std::process::id() as i32;
        assert!(!is_hypervisor(own, Path::new("/var/lib/vhive/run")));
        assert!(!is_hypervisor(-1, Path::new("/var/lib/vhive/run")));
    }
}
