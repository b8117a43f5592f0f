//! One page that compares runs: HTML with everything in it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::svg::escaped;
use crate::{Quantiles, Summary, files};

/// Why a folder holds no run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no summary to read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The summary.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is another file.
    #[error("{} is no summary of a run", path.display())]
    Json {
        /// The summary.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
}

/// Reads what [`files::write_all`] wrote into a folder.
pub fn read(folder: &Path) -> Result<Summary, Error> {
    let path = folder.join(files::SUMMARY);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path, source })
}

const STYLE: &str = "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}th,td{padding:.3em .8em;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child{text-align:left}td.text{text-align:left}.ratio{color:#777;font-size:85%}.bad{color:#b00}svg{max-width:100%;height:auto}";

/// The page. Ratios are to the first run.
pub fn page(runs: &[(String, Summary)]) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Runs compared</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>Runs compared</h1>\n"
    );
    settings(&mut out, runs);
    outcome(&mut out, runs);
    for (title, pick) in [
        ("Latency of all answers", (|it| &it.latency) as Pick),
        ("Latency of cold starts", |it| &it.cold),
        ("Latency without them", |it| &it.warm),
        ("What the functions took", |it| &it.function),
    ] {
        latencies(&mut out, title, runs, pick);
    }
    let named: Vec<_> = runs.iter().map(|(name, it)| (&**name, it)).collect();
    out.push_str("<h2>Distribution</h2>\n");
    out.push_str(&files::distribution(&named));
    over_time(&mut out, runs);
    errors(&mut out, runs);
    out.push_str("</body>\n</html>\n");
    out
}

type Pick = fn(&Summary) -> &Quantiles;

fn table(out: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    out.push_str("<table>\n<tr>");
    for name in header {
        let _ = write!(out, "<th>{}</th>", escaped(name));
    }
    out.push_str("</tr>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}

fn settings(out: &mut String, runs: &[(String, Summary)]) {
    let rows = runs.iter().map(|(name, it)| {
        let settings = it.settings.iter();
        let settings: Vec<_> = settings
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        vec![
            escaped(name),
            escaped(&it.started),
            escaped(&settings.join(", ")),
        ]
    });
    table(out, &["run", "started", "settings"], rows);
}

fn outcome(out: &mut String, runs: &[(String, Summary)]) {
    out.push_str("<h2>Outcome</h2>\n");
    let rows = runs.iter().map(|(name, it)| {
        let failed = if it.failed > 0 {
            format!("<span class=\"bad\">{}</span>", it.failed)
        } else {
            "0".to_owned()
        };
        vec![
            escaped(name),
            it.issued.to_string(),
            it.completed.to_string(),
            failed,
            it.cold.count.to_string(),
            it.target_rate
                .map(|rate| format!("{rate}"))
                .unwrap_or_default(),
            format!("{:.2}", it.real_rate),
            time(it.late.p99),
            format!("{:.0} %", it.processor * 100.0),
        ]
    });
    let header = [
        "run",
        "requests",
        "answered",
        "failed",
        "cold",
        "wanted a second",
        "answered a second",
        "sent late, p99",
        "processor",
    ];
    table(out, &header, rows);
}

fn latencies(out: &mut String, title: &str, runs: &[(String, Summary)], pick: Pick) {
    if runs.iter().all(|(_, it)| pick(it).count == 0) {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2>");
    let first = runs.first().map(|(_, it)| values(pick(it)));
    let rows = runs.iter().enumerate().map(|(nth, (name, it))| {
        let of = pick(it);
        let mut row = vec![escaped(name), of.count.to_string()];
        for (place, value) in values(of).into_iter().enumerate() {
            let base = first.map_or(0.0, |first| first[place]);
            let mut cell = if of.count == 0 {
                String::new()
            } else {
                time(value)
            };
            if nth > 0 && base > 0.0 && of.count > 0 {
                let _ = write!(cell, " <span class=\"ratio\">{:.2}</span>", value / base);
            }
            row.push(cell);
        }
        row
    });
    let header = [
        "run", "count", "min", "p50", "p90", "p99", "p99.9", "p99.99", "max",
    ];
    table(out, &header, rows);
}

fn values(of: &Quantiles) -> [f64; 7] {
    [of.min, of.p50, of.p90, of.p99, of.p999, of.p9999, of.max]
}

/// Microseconds, as people read them.
fn time(microseconds: f64) -> String {
    if microseconds >= 1e6 {
        format!("{:.3} s", microseconds / 1e6)
    } else if microseconds >= 1e3 {
        format!("{:.2} ms", microseconds / 1e3)
    } else {
        format!("{microseconds:.0} µs")
    }
}

fn over_time(out: &mut String, runs: &[(String, Summary)]) {
    for (name, it) in runs {
        let _ = writeln!(out, "<h2>{} over time</h2>", escaped(name));
        out.push_str(&files::over_time(it));
    }
}

fn errors(out: &mut String, runs: &[(String, Summary)]) {
    if runs.iter().all(|(_, it)| it.errors.is_empty()) {
        return;
    }
    out.push_str("<h2>Errors</h2>\n");
    let rows = runs.iter().flat_map(|(name, it)| {
        it.errors.iter().map(|error| {
            vec![
                escaped(name),
                escaped(&error.kind),
                escaped(&error.endpoint),
                error.count.to_string(),
                escaped(&error.message),
            ]
        })
    });
    table(
        out,
        &[
            "run",
            "error",
            "endpoint",
            "count",
            "what was said at the first",
        ],
        rows,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;

    #[test]
    fn the_page_is_whole_and_asks_nobody_for_anything() {
        let (run, told) = summary::example();
        let first = Summary::of(&run, &told);
        let mut second = first.clone();
        second.latency.p50 *= 2.0;
        let page = page(&[("a<b".to_owned(), first), ("other".to_owned(), second)]);
        assert!(page.contains("a&lt;b") && !page.contains("a<b"));
        assert!(page.contains("<span class=\"ratio\">2.00</span>"), "{page}");
        assert!(page.contains("gRPC 14 UNAVAILABLE") && page.contains("no instance"));
        for outside in ["src=", "href=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn a_folder_without_a_run_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let absent = read(folder.path()).unwrap_err().to_string();
        assert!(absent.contains(files::SUMMARY), "{absent}");
        std::fs::write(folder.path().join(files::SUMMARY), "{}").unwrap();
        assert!(matches!(read(folder.path()), Err(Error::Json { .. })));
    }
}
