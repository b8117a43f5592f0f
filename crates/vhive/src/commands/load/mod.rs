//! `vhive load`, also called `invoker`.

mod progress;
mod shown;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use load::arrivals::{Schedule, Trace};
use load::endpoints::{self, Endpoint};
use load::generator::{self, Loop, Protocol};
use load::spans::{self, Delivery, Format, Spans};
use load::{Live, Plan, Run, Summary, Target, Told, files, instances};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, Load, LoadProtocol};
use crate::client::cluster::cluster;
use crate::exit::{Code, Failure, Outcome};
use crate::output;

/// What the original asks for.
const NAME: &str = "Invoke relay";
const LENGTH: Duration = Duration::from_secs(5);

pub(crate) async fn run(global: &Global, args: &Load) -> Outcome {
    output::say(format_args!(
        "Reading the endpoints from the file: {}",
        args.endpoints_file.display()
    ))?;
    let endpoints = endpoints::read(&args.endpoints_file).map_err(|error| {
        Failure::from(error)
            .hint("`deployer` writes such a file; -endpointsFile FILE names another")
    })?;
    let (spans, delivery) = collector(args)?;
    let plan = plan(args, &endpoints, spans).await?;
    let live = Arc::new(Live::default());
    let stop = CancellationToken::new();
    let interrupted = tokio::spawn(stop_at_an_interrupt(stop.clone()));
    let observer = observer(global, args, &endpoints);
    let progress = progress::show(&live, &plan);
    let settings = settings(args, &endpoints, &plan);
    let run = on_a_thread(plan, live, stop).await;
    progress.abort();
    interrupted.abort();
    let seen = match observer {
        Some((observing, stop)) => {
            stop.cancel();
            observing.await.unwrap_or_default()
        }
        None => Vec::new(),
    };
    let run = run?;
    let instances = seen.into_iter();
    let told = Told {
        settings,
        target_rate: args.trace_file.is_none().then_some(args.rps),
        instances: instances
            .map(|(at, count)| (at.duration_since(run.started).unwrap_or_default(), count))
            .collect(),
    };
    let summary = Summary::of(&run, &told);
    report(args, &run, &summary)?;
    if let Some(delivery) = delivery {
        tell_of_spans(&delivery.await.unwrap_or_default());
    }
    if summary.all_failed() {
        let count = summary.issued;
        return Err(Failure::new(
            Code::Failed,
            anyhow!("all of {count} requests failed, so there is no latency to write"),
        )
        .hint(
            "the errors above say why, by endpoint; `vhive invoke NAME` calls one function once",
        ));
    }
    Ok(())
}

/// On a thread of its own, and on no other.
pub(crate) async fn on_a_thread(
    plan: Plan,
    live: Arc<Live>,
    stop: CancellationToken,
) -> anyhow::Result<Run> {
    let running = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        anyhow::Ok(runtime.block_on(generator::run(plan, live, stop))?)
    });
    running.await.context("the generator broke off")?
}

async fn stop_at_an_interrupt(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.cancel();
    }
}

async fn plan(args: &Load, endpoints: &[Endpoint], spans: Option<Spans>) -> Outcome<Plan> {
    let mut targets = Vec::new();
    for endpoint in endpoints {
        if endpoint.eventing {
            eprintln!(
                "{} begins a workflow of events: its own answer is timed, not the workflow",
                endpoint.hostname
            );
        }
        let target = Target::of(endpoint, args.port, args.gateway.as_deref()).await;
        targets.push(target.map_err(|error| {
            Failure::from(error).hint(
                "names of sslip.io and nip.io need no DNS; --gateway HOST:PORT says where to connect whatever the names are",
            )
        })?);
    }
    let (schedule, length) = schedule(args)?;
    Ok(Plan {
        targets,
        protocol: protocol(args),
        schedule,
        warm_up: args.warm_up,
        length,
        timeout: args.timeout,
        turns: args.closed.map_or(Loop::Open, Loop::Closed),
        connections: args.connections,
        explain: !args.no_explain,
        profile: args.profile,
        spans,
    })
}

/// All arrivals, those of the warm-up too, and how long is recorded.
fn schedule(args: &Load) -> Outcome<(Schedule, Duration)> {
    let Some(path) = &args.trace_file else {
        let length = args.time.unwrap_or(LENGTH);
        let whole = args.warm_up + length;
        let schedule = Schedule::of(args.arrivals, args.rps, whole, args.seed);
        return Ok((schedule, length));
    };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let trace = Trace::read(&text).with_context(|| format!("{} is no trace", path.display()))?;
    let minute = args.trace_minute;
    let whole = trace.length(minute);
    let length = args.time.unwrap_or(whole.saturating_sub(args.warm_up));
    let whole = whole.min(args.warm_up + length);
    Ok((Schedule::replay(&trace, minute, whole, args.seed), length))
}

fn protocol(args: &Load) -> Protocol {
    match args.protocol {
        LoadProtocol::Grpc => Protocol::Grpc {
            name: args.data.clone().unwrap_or_else(|| NAME.to_owned()),
        },
        LoadProtocol::Http => Protocol::Http {
            method: match args.data {
                Some(_) => http::Method::POST,
                None => http::Method::GET,
            },
            path: args.path.clone(),
            body: Bytes::from(args.data.clone().unwrap_or_default()),
        },
    }
}

/// What was asked for, for those who read the figures.
fn settings(args: &Load, endpoints: &[Endpoint], plan: &Plan) -> BTreeMap<String, String> {
    let mut settings = vec![
        ("endpoints", endpoints.len().to_string()),
        ("protocol", format!("{:?}", args.protocol).to_lowercase()),
        ("time", plan.length.as_secs_f64().to_string()),
        ("warm-up", args.warm_up.as_secs_f64().to_string()),
        ("timeout", args.timeout.as_secs_f64().to_string()),
        ("seed", args.seed.to_string()),
    ];
    if let Some(trace) = &args.trace_file {
        settings.push(("trace", trace.display().to_string()));
        let minute = args.trace_minute.as_secs_f64();
        settings.push(("trace-minute", minute.to_string()));
    } else {
        settings.push(("rps", args.rps.to_string()));
        settings.push(("arrivals", args.arrivals.to_string()));
    }
    match args.closed {
        Some(closed) => settings.push(("closed", closed.to_string())),
        None => settings.push(("connections", args.connections.to_string())),
    }
    let settings = settings.into_iter();
    settings
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

type Collector = (Option<Spans>, Option<JoinHandle<Delivery>>);

fn collector(args: &Load) -> Outcome<Collector> {
    let (format, url) = match (&args.otlp, args.trace) {
        (Some(url), _) => (Format::Otlp, url),
        (None, true) => (Format::Zipkin, &args.zipkin),
        (None, false) => return Ok((None, None)),
    };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (spans, delivery) = spans::start(format, url.clone(), http);
    Ok((Some(spans), Some(tokio::spawn(delivery))))
}

fn tell_of_spans(delivery: &Delivery) {
    eprintln!("{} spans delivered", delivery.sent);
    if let Some(reason) = &delivery.reason {
        eprintln!("warning: {} spans are lost: {reason}", delivery.lost);
    }
}

type Observer = (
    JoinHandle<Vec<(std::time::SystemTime, u64)>>,
    CancellationToken,
);

/// Asks the API for instances, where figures are written and an API is known.
fn observer(global: &Global, args: &Load, endpoints: &[Endpoint]) -> Option<Observer> {
    args.out.as_ref()?;
    let cluster = cluster(global, args.kubeconfig.as_deref()).ok()?;
    let stop = CancellationToken::new();
    let observing = instances::observe(cluster, endpoints.to_vec(), stop.clone());
    Some((tokio::spawn(observing), stop))
}

fn report(args: &Load, run: &Run, summary: &Summary) -> Outcome {
    output::say(format_args!(
        "Issued / completed requests: {}, {}",
        summary.issued, summary.completed
    ))?;
    match summary.target_rate {
        Some(target) => output::say(format_args!(
            "Real / target RPS: {:.2} / {target}",
            summary.real_rate
        ))?,
        None => output::say(format_args!("Real RPS: {:.2}", summary.real_rate))?,
    }
    output::say(shown::latencies(summary))?;
    if !summary.errors.is_empty() {
        output::say(format_args!("\n{}", shown::errors(summary)))?;
    }
    if let Some(warning) = shown::warning(summary) {
        eprintln!("warning: {warning}");
    }
    if summary.completed > 0 {
        let path = files::latencies_path(&args.latf, summary.real_rate);
        write(
            "The measured latencies",
            &path,
            &files::latencies(&run.samples),
        )?;
        if args.profile {
            let text = files::durations(&run.samples);
            if text.is_empty() {
                eprintln!("warning: no answer ends with a number: there is no time of a function");
            }
            write("The measured function durations", &args.durf, &text)?;
        }
    }
    if let Some(folder) = &args.out {
        let names = files::write_all(folder, run, summary)?;
        output::say(format_args!(
            "wrote {} to {}",
            names.join(", "),
            folder.display()
        ))?;
    }
    Ok(())
}

fn write(what: &str, path: &Path, text: &str) -> Outcome {
    files::write(path, text)?;
    Ok(output::say(format_args!(
        "{what} are saved in {}",
        path.display()
    ))?)
}
