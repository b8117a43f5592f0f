//! Many requests at once to a function that has no instance: what becomes of each, how long it takes, and how the function grows.
//!
//! Each request asks to be told when its body is wanted (`Expect: 100-continue`), which an instance says only once it works on the
//! request, and keeps the body back for a while. So the time between the two lies within the time that the instance has it: where
//! two such times of one instance overlap, it had two requests at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum as _;
use clap::builder::PossibleValue;
use image::Store;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::lab::machine;
use super::lines::{self, Lines};
use super::node_process::NodeProcess;
use super::{Samples, file_for_values, print, verdict, write};
use crate::cli::{Burst, Global};
use crate::client::api::{Api, Kind};
use crate::client::ingress::Target;
use crate::commands::image as images;
use crate::exit::Outcome;
use crate::output;

const NAMESPACE: &str = "default";
const NAME: &str = "burst";
const REVISION: &str = "burst-00001";
const BODY: &str = "burst";
/// Longer than all of it takes, also under emulation.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often the revision is asked for its scale.
const LOOK: Duration = Duration::from_millis(100);

/// What became of one request; times are from the beginning of the burst.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    /// When an instance had taken it.
    taken: Duration,
    /// When it was given its body, and could end.
    let_go: Duration,
    answered: Duration,
    status: u16,
    instance: String,
}

/// The revision at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Duration,
    desired: u32,
    ready: u32,
}

pub(super) async fn run(global: &Global, args: &Burst) -> Outcome {
    let accel = args.accel.to_possible_value();
    let accel = accel.as_ref().map_or("auto", PossibleValue::get_name);
    let mut arguments = vec!["--accel", accel];
    let qemu = args.qemu.as_ref().map(|path| path.to_string_lossy());
    if let Some(qemu) = &qemu {
        arguments.extend(["--qemu", qemu]);
    }
    let node = NodeProcess::start(global, &arguments).await?;
    let description = format!(
        "vhive {}, {} requests at once, containerConcurrency {}, max-scale {}, each held for {:?}; {}",
        env!("CARGO_PKG_VERSION"),
        args.requests,
        args.concurrency,
        args.max_scale,
        args.hold,
        machine()
    );
    println!("{description}");
    let measured = timeout(PATIENCE, measure(&node, args)).await;
    let stopped = node.stop().await;
    let (answers, lost, course) = measured.context("it takes too long")??;
    stopped?;
    report(args, &answers, &lost, &course);
    let path = file_for_values(args.csv.as_deref(), "burst");
    write(&path, &csv(&description, &answers))?;
    write(&path.with_extension("scale.csv"), &scale_csv(&course))?;
    write(&path.with_extension("svg"), &svg(args, &answers, &course))
}

type Measured = (Vec<Answer>, Vec<String>, Vec<Moment>);

async fn measure(node: &NodeProcess, args: &Burst) -> Outcome<Measured> {
    let images = node.data_dir().join("images");
    tokio::task::spawn_blocking(move || images::make_helloworld(&Store::open(&images)?)).await??;
    let api = node.api()?;
    api.apply(Kind::Service, NAMESPACE, &service(args)).await?;
    let url = until_ready(&api).await?;
    let target = Target::of(&url, None).await?;
    let mut running = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..args.requests {
        let (target, hold) = (target.clone(), args.hold);
        running.spawn(async move { call(&target, begun, hold).await });
    }
    let (mut answers, mut lost, mut course) = (Vec::new(), Vec::new(), Vec::new());
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => break,
                Some(ended) => match ended? {
                    Ok(answer) => answers.push(answer),
                    Err(error) => lost.push(format!("{error:#}")),
                },
            },
            _ = looks.tick() => course.push(look(&api, begun).await?),
        }
    }
    course.push(look(&api, begun).await?);
    Ok((answers, lost, course))
}

fn service(args: &Burst) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"template": {
            "metadata": {"annotations": {
                "autoscaling.knative.dev/initial-scale": "0",
                "autoscaling.knative.dev/max-scale": args.max_scale.to_string(),
            }},
            "spec": {
                "containerConcurrency": args.concurrency,
                "containers": [{
                    "image": "dev.local/helloworld:latest",
                    "ports": [{"containerPort": 50051}],
                }],
            },
        }},
    })
}

/// The URL, once there is one that answers.
async fn until_ready(api: &Api) -> Outcome<String> {
    loop {
        let service = api.get(Kind::Service, NAMESPACE, NAME).await?;
        let conditions = service.pointer("/status/conditions");
        let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
        if conditions.any(|it| it["type"] == "Ready" && it["status"] == "True") {
            return Ok(output::text(&service, "/status/url"));
        }
        sleep(LOOK).await;
    }
}

async fn look(api: &Api, begun: Instant) -> Outcome<Moment> {
    let at = begun.elapsed();
    let revision = api.get(Kind::Revision, NAMESPACE, REVISION).await?;
    let number = |path| {
        let number = revision.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    Ok(Moment {
        at,
        desired: number("/status/desiredReplicas"),
        ready: number("/status/actualReplicas"),
    })
}

/// One request on a connection of its own. An error is a request that got no answer.
async fn call(target: &Target, begun: Instant, hold: Duration) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(target.address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\nvhive-explain: 1\r\n\
         connection: close\r\n\r\n",
        target.authority,
        BODY.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let interim = read_head(&mut stream).await?;
    let taken = begun.elapsed();
    let mut let_go = taken;
    let head = if status(&interim)? == 100 {
        sleep(hold).await;
        let_go = begun.elapsed();
        stream.write_all(BODY.as_bytes()).await?;
        read_head(&mut stream).await?
    } else {
        interim
    };
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    let status = status(&head)?;
    if rest.is_empty() {
        bail!("HTTP {status} without a body");
    }
    Ok(Answer {
        taken,
        let_go,
        answered: begun.elapsed(),
        status,
        instance: instance(&head).unwrap_or_default().to_owned(),
    })
}

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.context("the answer broke off")?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn status(head: &str) -> anyhow::Result<u16> {
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.ok_or_else(|| anyhow!("not HTTP: {head:?}"))
}

/// Which instance answered, as `Server-Timing` tells.
fn instance(head: &str) -> Option<&str> {
    let (_, rest) = head.split_once("instance;desc=\"")?;
    Some(rest.split_once('"')?.0)
}

/// How often an instance took a request while it had as many as it may.
fn meetings(answers: &[Answer], concurrency: u32) -> usize {
    let mut held: BTreeMap<&str, Vec<(Duration, i64)>> = BTreeMap::new();
    for answer in answers {
        let moments = held.entry(&answer.instance).or_default();
        moments.extend([(answer.taken, 1), (answer.let_go, -1)]);
    }
    let most = if concurrency == 0 {
        i64::MAX
    } else {
        i64::from(concurrency)
    };
    let mut met = 0;
    for moments in held.values_mut() {
        moments.sort_unstable();
        let mut present = 0;
        for (_, change) in moments {
            present += *change;
            met += usize::from(*change > 0 && present > most);
        }
    }
    met
}

fn report(args: &Burst, answers: &[Answer], lost: &[String], course: &[Moment]) {
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let mut instances: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut waits, mut times) = (Samples::default(), Samples::default());
    for answer in answers {
        *statuses.entry(answer.status).or_default() += 1;
        *instances.entry(&answer.instance).or_default() += 1;
        waits.add(answer.taken);
        times.add(answer.answered);
    }
    print(&[
        ("until an instance had it", &waits),
        ("until it was answered", &times),
    ]);
    for (status, count) in &statuses {
        println!("HTTP {status}: {count}");
    }
    for error in lost.iter().take(5) {
        println!("lost: {error}");
    }
    for ready in 1..=args.max_scale {
        if let Some(moment) = course.iter().find(|moment| moment.ready >= ready) {
            println!("{ready} ready after {}", output::duration(moment.at));
        }
    }
    println!("answered by {} instances", instances.len());
    let met = meetings(answers, args.concurrency);
    println!(
        "{}",
        verdict(
            lost.is_empty() && statuses.keys().all(|status| *status == 200),
            &format!("none of {} lost", args.requests)
        )
    );
    println!("{}", verdict(met == 0, "none met another in its instance"));
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn csv(description: &str, answers: &[Answer]) -> String {
    let mut csv = format!("# {description}\ntaken_ms,let_go_ms,answered_ms,status,instance\n");
    for it in answers {
        let _ = writeln!(
            csv,
            "{:.3},{:.3},{:.3},{},{}",
            milliseconds(it.taken),
            milliseconds(it.let_go),
            milliseconds(it.answered),
            it.status,
            it.instance
        );
    }
    csv
}

fn scale_csv(course: &[Moment]) -> String {
    let mut csv = "ms,desired,ready\n".to_owned();
    for it in course {
        let _ = writeln!(
            csv,
            "{:.1},{},{}",
            milliseconds(it.at),
            it.desired,
            it.ready
        );
    }
    csv
}

/// By the second.
fn svg(args: &Burst, answers: &[Answer], course: &[Moment]) -> String {
    let seconds = course.last().map_or(0, |last| last.at.as_secs()) + 1;
    let scale = |of: fn(&Moment) -> u32| {
        let at = |second: u64| {
            let until = |moment: &&Moment| moment.at.as_secs() <= second;
            course.iter().take_while(until).last().map_or(0, of)
        };
        (0..seconds).map(at).map(f64::from).collect()
    };
    let open = |of: fn(&Answer) -> Duration| {
        let left = |second: u64| {
            answers
                .iter()
                .filter(|it| of(it).as_secs() >= second)
                .count()
        };
        (0..seconds).map(left).map(|left| left as f64).collect()
    };
    let panels = [
        Lines {
            title: "Instances".to_owned(),
            series: vec![
                ("desired", scale(|it| it.desired)),
                ("ready", scale(|it| it.ready)),
            ],
        },
        Lines {
            title: "Requests that wait for an instance".to_owned(),
            series: vec![("waiting", open(|it| it.taken))],
        },
    ];
    let title = format!("{} requests at once to a function at zero", args.requests);
    lines::svg(&title, "s", &panels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(instance: &str, taken: u64, let_go: u64) -> Answer {
        Answer {
            taken: Duration::from_millis(taken),
            let_go: Duration::from_millis(let_go),
            answered: Duration::from_millis(let_go + 1),
            status: 200,
            instance: instance.to_owned(),
        }
    }

    #[test]
    fn requests_meet_only_in_one_instance_and_only_above_its_limit() {
        let apart = [answer("a", 0, 50), answer("b", 10, 60), answer("a", 50, 90)];
        assert_eq!(meetings(&apart, 1), 0);
        let together = [answer("a", 0, 50), answer("a", 49, 60), answer("a", 55, 70)];
        assert_eq!(meetings(&together, 1), 2);
        assert_eq!(meetings(&together, 2), 0);
        assert_eq!(meetings(&together, 0), 0);
    }

    #[test]
    fn the_head_tells_the_status_and_the_instance() {
        let head =
            "HTTP/1.1 200 OK\r\nserver-timing: instance;desc=\"b-1\", connect;dur=0.1\r\n\r\n";
        assert_eq!(status(head).unwrap(), 200);
        assert_eq!(instance(head), Some("b-1"));
        assert_eq!(instance("HTTP/1.1 503 x\r\n\r\n"), None);
        assert!(status("SSH-2.0").is_err());
    }
}
