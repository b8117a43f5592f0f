//! Many clones of one snapshot at once: how long each takes to answer, and what memory is its own.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use sandbox::Memory;

use super::lab::{Function, Lab, end};
use super::{Samples, file_for_values, verdict, write};
use crate::cli::{Global, Scale};
use crate::exit::Outcome;
use crate::output;

/// The number of clones that the target is about.
const MANY: usize = 32;

/// Bytes of one hypervisor's memory, as the kernel counts them (`proc_pid_smaps(5)`).
#[derive(Debug, Default, Clone, Copy)]
struct Own {
    /// Private to the process, all of it.
    process: u64,
    /// Private to the process, of the guest's memory.
    guest: u64,
    /// The guest's memory that is no longer the file's: what it wrote, and with it whatever a page server installed.
    wrote: u64,
}

#[derive(Default)]
struct Found {
    clones: usize,
    times: Samples,
    /// What the machine computed until all had answered, for each of them.
    busy: Samples,
    own: Vec<Own>,
}

pub(super) async fn run(global: &Global, args: &Scale) -> Outcome {
    let lab = Lab::open(global, &args.guests, args.guest_memory, args.max).await?;
    println!("{}", lab.description);
    let outcome = measure(&lab, args).await;
    lab.close().await;
    let (csv, found) = outcome?;
    report(&found)?;
    write(&file_for_values(args.csv.as_deref(), "scale"), &csv)
}

async fn measure(lab: &Lab, args: &Scale) -> Outcome<(String, Vec<Found>)> {
    let function = lab.function(&args.function)?;
    let snapshot = lab.snapshot(&function).await?;
    let mut csv = format!(
        "# {}\nclones,round,ms,processor_ms,process_bytes,guest_bytes,wrote_bytes\n",
        lab.description
    );
    let powers = (0..).map(|power| 1 << power);
    let mut all: Vec<Found> = powers
        .take_while(|clones| *clones <= args.max)
        .map(|clones| Found {
            clones,
            ..Found::default()
        })
        .collect();
    for round in 0..args.rounds {
        for found in &mut all {
            lab.sandbox.warm().await;
            let snapshot = snapshot.clone();
            let memory = snapshot.memory();
            tokio::task::spawn_blocking(move || snapshot.read_in())
                .await?
                .context("cannot read the snapshot")?;
            let (busy, clones) = at_once(lab, &function, found.clones, &memory).await?;
            found.busy.add(busy);
            for (took, own) in clones {
                let _ = writeln!(
                    csv,
                    "{},{round},{:.3},{:.3},{},{},{}",
                    found.clones,
                    took.as_secs_f64() * 1e3,
                    busy.as_secs_f64() * 1e3,
                    own.process,
                    own.guest,
                    own.wrote
                );
                found.times.add(took);
                found.own.push(own);
            }
        }
    }
    Ok((csv, all))
}

/// Starts so many clones together, and looks at their memory when all have answered.
async fn at_once(
    lab: &Lab,
    function: &Function,
    clones: usize,
    memory: &Path,
) -> Outcome<(Duration, Vec<(Duration, Own)>)> {
    let before = processor_time()?;
    let started = join_all((0..clones).map(|_| lab.start(function, Some(Memory::Auto)))).await;
    let busy = processor_time()?.saturating_sub(before);
    let mut found = Vec::new();
    let mut failure = None;
    let mut handles = Vec::new();
    for answered in started {
        match answered {
            Ok(answered) => {
                match answered.handle.pid().context("it has no process") {
                    Ok(pid) => found.push((answered.took, own(pid, memory)?)),
                    Err(error) => failure = Some(error.into()),
                }
                handles.push(answered.handle);
            }
            Err(error) => failure = Some(error),
        }
    }
    join_all(handles.iter().map(end)).await;
    let each = busy / u32::try_from(clones).unwrap_or(u32::MAX);
    failure.map_or(Ok((each, found)), Err)
}

/// Asks the kernel what of a process's memory is its own; `memory` is the file that the guest's memory is mapped from.
fn own(pid: u32, memory: &Path) -> anyhow::Result<Own> {
    let path = format!("/proc/{pid}/smaps");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(count(&text, &memory.to_string_lossy()))
}

/// What all processors of the machine have computed since it was started (`proc_stat(5)`), in hundredths of a second.
fn processor_time() -> anyhow::Result<Duration> {
    const IDLE: [usize; 2] = [3, 4];
    let path = "/proc/stat";
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let ticks = text
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .with_context(|| format!("{path} has no line for all processors"))?;
    let busy = ticks
        .split_whitespace()
        // What guests of this machine take is in the first two already.
        .take(8)
        .enumerate()
        .filter(|(field, _)| !IDLE.contains(field))
        .map(|(_, ticks)| ticks.parse().unwrap_or(0))
        .sum::<u64>();
    Ok(Duration::from_millis(busy * 10))
}

fn count(smaps: &str, memory: &str) -> Own {
    let mut own = Own::default();
    let mut of_guest = false;
    for line in smaps.lines() {
        let Some((field, rest)) = line.split_once(':') else {
            continue;
        };
        // A mapping's first line holds a device, such as 08:01, and so a colon too; but no field's name has a space.
        if field.contains(' ') {
            of_guest = line.ends_with(memory);
            continue;
        }
        let kib = rest.trim().strip_suffix(" kB");
        let bytes = kib.and_then(|kib| kib.parse().ok()).unwrap_or(0) * 1024;
        match field {
            "Private_Clean" | "Private_Dirty" => {
                own.process += bytes;
                if of_guest {
                    own.guest += bytes;
                }
            }
            "Anonymous" if of_guest => own.wrote += bytes,
            _ => {}
        }
    }
    own
}

fn report(all: &[Found]) -> Outcome {
    let median = |found: &Found, of: fn(&Own) -> u64| {
        let mut values: Vec<u64> = found.own.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    let rows = all.iter().map(|found| {
        [
            found.clones.to_string(),
            output::duration(found.times.quantile(0.5)),
            output::duration(found.times.quantile(0.95)),
            output::duration(found.busy.median()),
            output::size(median(found, |own| own.process)),
            output::size(median(found, |own| own.guest)),
            output::size(median(found, |own| own.wrote)),
        ]
    });
    let header = [
        "CLONES",
        "P50",
        "P95",
        "PROCESSOR",
        "PRIVATE, HYPERVISOR",
        "PRIVATE, GUEST MEMORY",
        "WRITTEN",
    ];
    output::say(output::table(header, rows))?;
    let one = all.first();
    let many = all.iter().find(|found| found.clones == MANY);
    let Some((one, many)) = one.zip(many) else {
        return Ok(());
    };
    let ratio =
        many.times.quantile(0.95).as_secs_f64() / one.times.quantile(0.5).as_secs_f64().max(1e-9);
    println!(
        "p95 of {MANY} over p50 of 1: {ratio:.2} ({})",
        verdict(ratio <= 4.0, "target ≤ 4")
    );
    let (guest, wrote) = (
        median(many, |own| own.guest) as f64,
        median(many, |own| own.wrote) as f64,
    );
    println!(
        "private guest memory over pages written, {MANY} clones: {:.2} ({})",
        guest / wrote,
        verdict(guest <= 1.1 * wrote, "target ≤ 1.10")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_mapping_is_told_from_the_others() {
        let smaps = "\
7f00-7f10 rw-p 00000000 08:01 123 /s/f/1/memory\n\
Size: 131072 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 8 kB\nAnonymous: 8 kB\nVmFlags: rd wr\n\
7f20-7f30 rw-p 00000000 00:00 0 \n\
Private_Clean: 0 kB\nPrivate_Dirty: 16 kB\nAnonymous: 16 kB\n";
        let own = count(smaps, "/s/f/1/memory");
        assert_eq!(own.process, 28 << 10);
        assert_eq!(own.guest, 12 << 10);
        assert_eq!(own.wrote, 8 << 10);
    }
}
