//! Cold starts of one function, all ways in one run, in turns; each from the start of an instance to the first byte of its answer.
//!
//! `resident` is a restore with all of memory populated beforehand, the populating not timed. What another way takes beyond it is
//! its *penalty*: without what the guest computes, which under emulation is most of the total.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sandbox::Memory;
use sandbox::snapshots::Snapshot;

use super::lab::{Answered, Function, Lab, end};
use super::plot::{self, Bars};
use super::{Samples, file_for_values, verdict, write};
use crate::cli::{Coldstart, Global};
use crate::exit::Outcome;
use crate::output;

/// What is kept ready as a node does.
const SPARES: usize = 1;
/// Requests to an instance after its first and before the one that counts as warm.
const SETTLING: usize = 1;
const PHASES: [&str; 6] = ["pool", "bind", "load", "gate", "resume", "agent"];
const RESTORES: [(&str, Memory); 6] = [
    ("file", Memory::File),
    ("lazy", Memory::Lazy),
    ("reap", Memory::Reap),
    ("paper", Memory::Paper),
    ("auto", Memory::Auto),
    ("resident", Memory::Resident),
];

/// What of the snapshot is in the page cache before a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cache {
    /// None of it.
    Cold,
    /// All of it.
    Warm,
    /// It makes no difference.
    Any,
}

impl Cache {
    fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Any => "-",
        }
    }
}

type Key = (&'static str, Cache);

/// What was measured of one function.
#[derive(Default)]
struct Found {
    total: HashMap<Key, Samples>,
    phases: HashMap<(Key, &'static str), Samples>,
    /// Pages that guests needed beyond the working set, where it was brought in bulk.
    misses: HashMap<Key, Vec<u64>>,
    csv: String,
    recorded_again: usize,
}

pub(super) async fn run(global: &Global, args: &Coldstart) -> Outcome {
    let lab = Lab::open(global, &args.guests, args.guest_memory, SPARES).await?;
    println!("{}", lab.description);
    let outcome = measure(&lab, args).await;
    lab.close().await;
    let (csv, plots) = outcome?;
    let path = file_for_values(args.csv.as_deref(), "coldstart");
    write(&path, &csv)?;
    let svg = args
        .svg
        .clone()
        .unwrap_or_else(|| path.with_extension("svg"));
    write(
        Path::new(&svg),
        &plot::svg("Cold start: start to first byte, median", "ms", &plots),
    )
}

async fn measure(lab: &Lab, args: &Coldstart) -> Outcome<(String, Vec<Bars>)> {
    let mut csv = format!(
        "# {}\nfunction,round,policy,cache,ms,{},misses\n",
        lab.description,
        PHASES.map(|phase| format!("{phase}_ms")).join(",")
    );
    let mut plots = Vec::new();
    for name in &args.functions {
        let function = lab.function(name)?;
        let snapshot = lab.snapshot(&function).await?;
        let mut found = Found::default();
        for round in 0..args.rounds {
            one_round(lab, &function, &snapshot, round, &mut found).await?;
        }
        report(&function.name, args.rounds, &snapshot, &found)?;
        csv.push_str(&found.csv);
        plots.push(bars(name, &found));
    }
    Ok((csv, plots))
}

async fn one_round(
    lab: &Lab,
    function: &Function,
    snapshot: &Arc<Snapshot>,
    round: usize,
    found: &mut Found,
) -> Outcome {
    lab.sandbox.warm().await;
    let booted = lab.start(function, None).await?;
    found.add(function, round, ("boot", Cache::Any), &booted, 0);
    for _ in 0..SETTLING {
        lab.request(&booted.handle).await?;
    }
    let warm = lab.request(&booted.handle).await?;
    found.add_time(
        function,
        round,
        ("warm", Cache::Any),
        warm,
        &vec![String::new(); PHASES.len() + 1],
    );
    end(&booted.handle).await;

    for cache in [Cache::Cold, Cache::Warm] {
        // Who comes first may find the machine in another state than who comes after, and so may who comes after whom.
        let mut order = RESTORES;
        fastrand::shuffle(&mut order);
        for (policy, memory) in order {
            if snapshot.working_set_header().is_none() {
                found.recorded_again += 1;
                lab.record(function, snapshot).await?;
            }
            lab.sandbox.warm().await;
            prepare(snapshot, cache).await?;
            let (_, _, before) = snapshot.working_set_uses();
            let restored = lab.start(function, Some(memory)).await?;
            end(&restored.handle).await;
            let (_, _, after) = snapshot.working_set_uses();
            // It begins at zero again when the working set was given up.
            let misses = after.saturating_sub(before);
            found.add(function, round, (policy, cache), &restored, misses);
        }
    }
    Ok(())
}

async fn prepare(snapshot: &Arc<Snapshot>, cache: Cache) -> Outcome {
    let snapshot = snapshot.clone();
    tokio::task::spawn_blocking(move || match cache {
        Cache::Cold => snapshot.evict(),
        Cache::Warm | Cache::Any => snapshot.read_in(),
    })
    .await?
    .context("cannot prepare the page cache")?;
    Ok(())
}

impl Found {
    fn add(
        &mut self,
        function: &Function,
        round: usize,
        key: Key,
        answered: &Answered,
        misses: u64,
    ) {
        let populating = if key.0 == "resident" {
            answered.phase("gate")
        } else {
            Duration::ZERO
        };
        let took = answered.took.saturating_sub(populating);
        let phases = PHASES.map(|phase| answered.phase(phase));
        for (phase, duration) in PHASES.into_iter().zip(phases) {
            self.phases.entry((key, phase)).or_default().add(duration);
        }
        self.misses.entry(key).or_default().push(misses);
        let mut phases = phases.map(|phase| format!("{:.3}", millis(phase))).to_vec();
        phases.push(misses.to_string());
        self.add_time(function, round, key, took, &phases);
    }

    fn add_time(
        &mut self,
        function: &Function,
        round: usize,
        key: Key,
        took: Duration,
        phases: &[String],
    ) {
        self.total.entry(key).or_default().add(took);
        let (policy, cache) = (key.0, key.1.name());
        let _ = writeln!(
            self.csv,
            "{},{round},{policy},{cache},{:.3},{}",
            function.name,
            millis(took),
            phases.join(",")
        );
    }

    fn median(&self, key: Key) -> f64 {
        self.total
            .get(&key)
            .map_or(f64::NAN, |samples| millis(samples.median()))
    }

    /// Milliseconds beyond what a restore takes that misses no page.
    fn penalty(&self, policy: &'static str, cache: Cache) -> f64 {
        self.median((policy, cache)) - self.median(("resident", cache))
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn report(name: &str, rounds: usize, snapshot: &Snapshot, found: &Found) -> Outcome {
    let set = snapshot.working_set_header();
    let set = set.map_or(0, |set| set.pages().len() * set.page_size().bytes());
    println!(
        "\n{name}, {rounds} rounds; working set {}, recorded again {} times; medians of phases in ms",
        output::size(set),
        found.recorded_again
    );
    let mut rows = vec![
        row(found, ("boot", Cache::Any)),
        row(found, ("warm", Cache::Any)),
    ];
    for cache in [Cache::Cold, Cache::Warm] {
        rows.extend(RESTORES.map(|(policy, _)| row(found, (policy, cache))));
    }
    let header = ["", "CACHE", "MIN", "Q1", "MEDIAN", "Q3", "MAX", "PENALTY"];
    let header = header.map(str::to_owned).into_iter();
    let header = header
        .chain(PHASES.map(str::to_uppercase))
        .chain(["MISSES".to_owned()]);
    output::say(output::table(header, rows))?;
    for cache in [Cache::Cold, Cache::Warm] {
        targets(found, cache);
    }
    Ok(())
}

fn row(found: &Found, key: Key) -> Vec<String> {
    let mut row = vec![key.0.to_owned(), key.1.name().to_owned()];
    let samples = found.total.get(&key);
    row.extend([0.0, 0.25, 0.5, 0.75, 1.0].map(|fraction| {
        samples.map_or_else(String::new, |samples| {
            output::duration(samples.quantile(fraction))
        })
    }));
    row.push(match key.1 {
        Cache::Any => String::new(),
        cache => format!("{:.1} ms", found.penalty(key.0, cache)),
    });
    row.extend(PHASES.map(|phase| {
        let samples = found.phases.get(&(key, phase));
        let median = samples.map_or(Duration::ZERO, Samples::median);
        if median.is_zero() {
            "-".to_owned()
        } else {
            format!("{:.1}", millis(median))
        }
    }));
    let mut misses = found.misses.get(&key).cloned().unwrap_or_default();
    misses.sort_unstable();
    row.push(match misses.get(misses.len() / 2) {
        Some(0) | None => "-".to_owned(),
        Some(misses) => misses.to_string(),
    });
    row
}

fn targets(found: &Found, cache: Cache) {
    let name = cache.name();
    let auto = found.median(("auto", cache));
    let fixed = ["file", "lazy", "reap", "paper"].map(|policy| (policy, cache));
    let best = fixed
        .into_iter()
        .chain([("boot", Cache::Any)])
        .map(|key| (key.0, found.median(key)))
        .min_by(|one, other| one.1.total_cmp(&other.1));
    if let Some((policy, best)) = best {
        println!(
            "{name}: auto {:.2} of the best fixed policy, {policy} ({})",
            auto / best,
            verdict(auto <= best, "target ≤ 1.00")
        );
    }
    let (of_file, target) = match cache {
        Cache::Cold => (0.25, "target ≤ 0.25"),
        Cache::Warm | Cache::Any => (1.0, "target ≤ 1.00"),
    };
    compare(found, cache, "file", of_file, target);
    if cache == Cache::Cold {
        compare(found, cache, "paper", 0.5, "target ≤ 0.50");
    }
}

/// The penalty of `auto` beside that of another policy.
fn compare(found: &Found, cache: Cache, policy: &'static str, most: f64, target: &str) {
    let (auto, other) = (found.penalty("auto", cache), found.penalty(policy, cache));
    let name = cache.name();
    // Under no penalty there is nothing to be a part of: the differences are smaller than the spread.
    if other <= 0.0 {
        println!(
            "{name}: penalty of auto {auto:.1} ms, of {policy} {other:.1} ms: cannot be told apart from none ({target})"
        );
        return;
    }
    println!(
        "{name}: penalty of auto {auto:.1} ms, {:.2} of that of {policy} ({})",
        auto / other,
        verdict(auto <= most * other, target)
    );
}

fn bars(name: &str, found: &Found) -> Bars {
    let one = |key: Key| {
        let samples = found.total.get(&key);
        let of = |fraction| samples.map_or(0.0, |samples| millis(samples.quantile(fraction)));
        plot::Bar {
            median: of(0.5),
            lower: of(0.25),
            upper: of(0.75),
        }
    };
    let mut groups = vec![("boot", vec![None, None, Some(one(("boot", Cache::Any)))])];
    groups.extend(RESTORES.map(|(policy, _)| {
        let cold = one((policy, Cache::Cold));
        (policy, vec![Some(cold), Some(one((policy, Cache::Warm)))])
    }));
    groups.push(("warm", vec![None, None, Some(one(("warm", Cache::Any)))]));
    Bars {
        title: name.to_owned(),
        series: vec!["cold page cache", "warm page cache", "no snapshot"],
        groups,
    }
}
