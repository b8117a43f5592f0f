//! The load generator itself: whether it holds a rate on one processor, and whether its open loop tells the same latencies as wrk2's way,
//! where requests wait for their connection and are timed from when they were due.
//!
//! Both call the same backend, in turns. Without a stall latencies are short and noisy; with one, in which the backend is stopped once a second,
//! whoever forgot the requests that would have come meanwhile would tell far shorter ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hdrhistogram::Histogram;
use load::arrivals::{Process, Schedule};
use load::generator::{Loop, Protocol};
use load::{Outcome as Ended, Plan, Run, Summary, Target, Told};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::gateway::servers::start_function;
use super::verdict;
use crate::cli::LoadBench;
use crate::commands::load::on_a_thread;
use crate::exit::Outcome;
use crate::output;

const WARM_UP: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// HTTP/2 connections of the open loop.
const CONNECTIONS: usize = 4;
/// What the two ways may differ by.
const AGREEMENT: f64 = 0.05;

/// All turns of one way.
struct Way {
    name: String,
    turns: Loop,
    summaries: Vec<Summary>,
    latencies: Histogram<u64>,
}

impl Way {
    fn new(name: String, turns: Loop) -> anyhow::Result<Self> {
        Ok(Self {
            name,
            turns,
            summaries: Vec::new(),
            latencies: Histogram::new(3)?,
        })
    }

    fn add(&mut self, run: &Run) -> anyhow::Result<()> {
        let summary = Summary::of(run, &Told::default());
        if let Some(error) = summary.errors.first() {
            return Err(anyhow!(
                "{} requests failed ({}: {}): a figure with errors in it is no figure",
                summary.failed,
                error.kind,
                error.message
            ));
        }
        for sample in &run.samples {
            if let Ended::Answered { .. } = sample.outcome {
                self.latencies.record(sample.latency)?;
            }
        }
        self.summaries.push(summary);
        Ok(())
    }

    /// The median of what each turn has.
    fn median(&self, of: fn(&Summary) -> f64) -> f64 {
        median(self.summaries.iter().map(of).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

pub(super) async fn run(args: &LoadBench) -> Outcome {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (address, process) = start_function(folder.path()).await?;
    let pid = process.id().and_then(|id| Pid::from_raw(id as i32));
    let pid = pid.context("the backend is gone")?;
    output::say(format_args!(
        "gRPC to helloworld as a process of this machine: {} requests a second, {} turns of {} s each",
        args.rps,
        args.rounds,
        args.time.as_secs_f64()
    ))?;
    for stall in [Duration::ZERO, Duration::from_millis(args.stall)] {
        let mut ways = [
            Way::new("open loop".to_owned(), Loop::Open)?,
            Way::new(
                format!("wrk2's way, {} connections", args.clients),
                Loop::Closed(args.clients),
            )?,
        ];
        for _ in 0..args.rounds {
            for way in &mut ways {
                let run = turn(args, address, way.turns, pid, stall).await?;
                way.add(&run)?;
            }
        }
        report(args, stall, &ways)?;
    }
    Ok(())
}

async fn turn(
    args: &LoadBench,
    address: SocketAddr,
    turns: Loop,
    pid: Pid,
    stall: Duration,
) -> anyhow::Result<Run> {
    let plan = Plan {
        targets: vec![Target {
            address,
            authority: "bench.default.example.com".to_owned(),
            hostname: "bench".to_owned(),
        }],
        protocol: Protocol::Grpc {
            name: "bench".to_owned(),
        },
        schedule: Schedule::of(Process::Constant, args.rps, WARM_UP + args.time, 1),
        warm_up: WARM_UP,
        length: args.time,
        timeout: PATIENCE,
        turns,
        connections: CONNECTIONS,
        explain: false,
        profile: false,
        spans: None,
    };
    let stalling = tokio::spawn(stalls(pid, stall, args.time.as_secs()));
    let run = on_a_thread(plan, Arc::default(), CancellationToken::new()).await;
    stalling.await?;
    run
}

/// Stops the backend once in each second that is recorded.
async fn stalls(pid: Pid, stall: Duration, count: u64) {
    if stall.is_zero() {
        return;
    }
    let start = Instant::now() + WARM_UP + Duration::from_millis(300);
    for nth in 0..count {
        sleep_until(start + Duration::from_secs(nth)).await;
        // If it is gone, the requests tell.
        let _ = kill_process(pid, Signal::STOP);
        sleep(stall).await;
        let _ = kill_process(pid, Signal::CONT);
    }
}

fn report(args: &LoadBench, stall: Duration, ways: &[Way; 2]) -> Outcome {
    if stall.is_zero() {
        output::say("\nnothing stalls")?;
    } else {
        output::say(format_args!(
            "\nthe backend is stopped for {} ms once a second",
            stall.as_millis()
        ))?;
    }
    let rows = ways.iter().map(|way| {
        let at = |quantile| {
            output::duration(Duration::from_nanos(
                way.latencies.value_at_quantile(quantile),
            ))
        };
        vec![
            way.name.clone(),
            format!("{:.0}", way.median(|it| it.real_rate)),
            format!("{:.0} %", way.median(|it| it.processor) * 100.0),
            output::duration(Duration::from_secs_f64(way.median(|it| it.late.p99) / 1e6)),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
        ]
    });
    let header = [
        "",
        "RATE",
        "PROCESSOR",
        "SENT LATE, P99",
        "P50",
        "P90",
        "P99",
        "P99.9",
        "MAX",
    ];
    output::say(output::table(header, rows))?;
    let [open, closed] = ways;
    let pairs = open.summaries.iter().zip(&closed.summaries);
    let ratios: Vec<_> = pairs
        .map(|(open, closed)| open.latency.p99 / closed.latency.p99.max(f64::EPSILON))
        .collect();
    let all = open.latencies.value_at_quantile(0.99) as f64
        / (closed.latencies.value_at_quantile(0.99) as f64).max(1.0);
    output::say(format_args!(
        "p99 of the open loop over wrk2's way: {all:.3} of all, turn by turn {:.3} ({:.3} to {:.3})",
        median(ratios.clone()),
        ratios.iter().copied().fold(f64::MAX, f64::min),
        ratios.iter().copied().fold(0.0, f64::max)
    ))?;
    output::say(verdict(
        (all - 1.0).abs() <= AGREEMENT,
        "they agree within 5 %",
    ))?;
    let held = open
        .summaries
        .iter()
        .all(|it| it.real_rate >= args.rps * 0.99 && it.processor < 1.0);
    Ok(output::say(verdict(
        held,
        &format!("{} a second on one processor", args.rps),
    ))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
