//! A trace of invocations played to the autoscaler, in virtual time: nothing is started, and it takes as long as it takes to compute.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use api::Settings;
use api::autoscaling::PREFIX;
use api::meta::StringMap;
use api::resource::REVISIONS;
use control::scale::simulation::{self, Course, Invocation, Model, Second};
use control::scale::{Config, Policy};
use load::arrivals::{Trace, TraceError};
use serde_json::json;

use super::lines::{self, Lines};
use super::{file_for_values, write};
use crate::cli::Autoscale;
use crate::exit::{Failure, Outcome};
use crate::output;

pub(super) fn run(args: &Autoscale) -> Outcome {
    let policy = policy(args)?;
    let path = &args.trace;
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let trace = invocations(&text, args.duration, args.function.as_deref())
        .with_context(|| format!("{} is no trace", path.display()))?;
    let model = Model {
        cold_start: args.cold_start,
        container_concurrency: args.concurrency,
    };
    let course = simulation::run(&trace, &policy, &model);
    report(&course)?;
    let csv_path = file_for_values(args.csv.as_deref(), "autoscale");
    write(&csv_path, &csv(&course))?;
    let svg_path = args
        .svg
        .clone()
        .unwrap_or_else(|| csv_path.with_extension("svg"));
    write(&svg_path, &svg(path, &course))
}

/// The requests of a trace, in order; one that a trace only counts takes `takes`. `function` is the beginning of the only one's hash that counts.
fn invocations(
    text: &str,
    takes: Duration,
    function: Option<&str>,
) -> Result<Vec<Invocation>, TraceError> {
    let trace = Trace::read(text)?;
    let trace = match function {
        Some(hash) => trace.of_functions(hash)?,
        None => trace,
    };
    let mut invocations = Vec::new();
    match trace {
        Trace::Events(events) => invocations.extend(events.iter().map(|event| Invocation {
            at: Duration::from_secs_f64(event.at),
            takes: Duration::from_secs_f64(event.takes),
        })),
        Trace::Minutes(functions) => {
            let counts = functions.iter().flat_map(|it| it.counts.iter().enumerate());
            for (minute, count) in counts {
                invocations.extend(spread(minute, *count, takes));
            }
        }
    }
    invocations.sort_by_key(|invocation| invocation.at);
    Ok(invocations)
}

/// So many at even distances in a minute: when in it they came, Azure's traces do not say, and the same trace should give the same course.
fn spread(minute: usize, count: u32, takes: Duration) -> impl Iterator<Item = Invocation> {
    (0..count).map(move |nth| {
        let part = (f64::from(nth) + 0.5) / f64::from(count);
        let at = Duration::from_secs_f64(60.0 * (minute as f64 + part));
        Invocation { at, takes }
    })
}

/// What holds for the revision, refused as the API would refuse it.
fn policy(args: &Autoscale) -> Outcome<Policy> {
    let config: StringMap = args.config.iter().cloned().collect();
    let config = Config::unset()
        .with(&config)
        .map_err(|error| Failure::usage(format!("--config: {error}")))?;
    let annotations: StringMap = args
        .annotations
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()))
        .collect();
    let mut revision = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Revision",
        "metadata": {"name": "simulated", "namespace": "default", "annotations": annotations},
        "spec": {"containerConcurrency": args.concurrency, "containers": [{"image": "simulated"}]},
    });
    let settings = Settings {
        autoscaler: config.clone(),
        ..Settings::default()
    };
    api::admit_with(
        &settings,
        api::admission::USER,
        &REVISIONS,
        &mut revision,
        None,
    )
    .map_err(|status| Failure::usage(status.message))?;
    Ok(Policy::of(&annotations, args.concurrency, &config))
}

fn report(course: &Course) -> Outcome {
    let requests = course.waits.len();
    if requests == 0 {
        return Err(anyhow!("no request was answered").into());
    }
    let seconds = course.instance_time.as_secs_f64();
    let rows = [
        ("requests", requests.to_string()),
        (
            "of these cold",
            format!(
                "{} ({:.1} %)",
                course.cold,
                100.0 * course.cold as f64 / requests as f64
            ),
        ),
        ("wait, median", output::duration(course.wait(0.5))),
        ("wait, p99", output::duration(course.wait(0.99))),
        ("wait, most", output::duration(course.wait(1.0))),
        ("instances started", course.started.to_string()),
        ("most at once", course.most_ready.to_string()),
        ("instance-seconds", format!("{seconds:.0}")),
    ];
    let rows = rows.map(|(name, value)| [name.to_owned(), value]);
    let table = output::table(["", ""], rows);
    output::say(table.trim_start())?;
    output::say(format_args!("\nWhy, in seconds:\n{}", reasons(course)))?;
    Ok(())
}

/// For how many seconds each reason held, most first.
fn reasons(course: &Course) -> String {
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for second in &course.seconds {
        *held.entry(second.why.name()).or_default() += 1;
    }
    let mut held: Vec<_> = held.into_iter().collect();
    held.sort_by_key(|(_, seconds)| std::cmp::Reverse(*seconds));
    let rows = held
        .into_iter()
        .map(|(name, seconds)| [name.to_owned(), seconds.to_string()]);
    output::table(["REASON", "SECONDS"], rows)
}

fn csv(course: &Course) -> String {
    let mut csv = "second,arrived,in_flight,queued,desired,ready,starting,stable,panic,panicking,reason,why\n".to_owned();
    for it in &course.seconds {
        let Second {
            second,
            arrived,
            in_flight,
            queued,
            ..
        } = it;
        let _ = writeln!(
            csv,
            "{second},{arrived},{in_flight},{queued},{},{},{},{:.3},{:.3},{},{},\"{}\"",
            it.desired,
            it.ready,
            it.starting,
            it.stable,
            it.panic,
            it.panicking,
            it.why.name(),
            it.why
        );
    }
    csv
}

fn svg(trace: &Path, course: &Course) -> String {
    let of = |value: fn(&Second) -> u32| {
        let values = course.seconds.iter().map(value);
        values.map(f64::from).collect::<Vec<f64>>()
    };
    let panels = [
        Lines {
            title: "Requests that come, by the second".to_owned(),
            series: vec![("arrived", of(|it| it.arrived))],
        },
        Lines {
            title: "Instances".to_owned(),
            series: vec![
                ("desired", of(|it| it.desired)),
                ("ready", of(|it| it.ready)),
            ],
        },
        Lines {
            title: "Requests that wait".to_owned(),
            series: vec![("queued", of(|it| it.queued))],
        },
    ];
    let name = trace.file_name().unwrap_or_default().to_string_lossy();
    lines::svg(&format!("{name}, as the autoscaler meets it"), "s", &panels)
}

#[cfg(test)]
mod trace_tests {
    use super::*;

    fn millis(text: &str, function: Option<&str>) -> Vec<(u128, u128)> {
        let read = invocations(text, Duration::from_millis(100), function).expect("a trace");
        read.iter()
            .map(|it| (it.at.as_millis(), it.takes.as_millis()))
            .collect()
    }

    #[test]
    fn invocations_keep_their_own_times_and_counts_are_spread_over_their_minute() {
        assert_eq!(
            millis("time_s,duration_s\n1.5,0.25\n0,2\n", None),
            [(0, 2000), (1500, 250)]
        );
        let text =
            "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f1,http,2,0,1\no,a,g2,timer,0,1,0\n";
        assert_eq!(
            millis(text, None),
            [(15_000, 100), (45_000, 100), (90_000, 100), (150_000, 100)]
        );
        assert_eq!(millis(text, Some("g")), [(90_000, 100)]);
    }
}
