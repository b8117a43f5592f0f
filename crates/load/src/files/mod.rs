//! What is written of a run.

mod csv;
mod hdr_log;
mod latencies;
mod plots;

use std::io;
use std::path::{Path, PathBuf};

pub use latencies::{durations, latencies, path as latencies_path};

use crate::generator::Run;
use crate::{Sample, Summary};

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct Error {
    /// The file, or folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// The file of all figures in a folder of them.
pub const SUMMARY: &str = "summary.json";

/// Writes all files of a run into a folder, which is made if it is not there, and returns their names.
pub fn write_all(folder: &Path, run: &Run, summary: &Summary) -> Result<Vec<&'static str>, Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error {
        path: folder.to_owned(),
        source,
    })?;
    let files = texts(run, summary);
    let names = files.iter().map(|(name, _)| *name).collect();
    for (name, text) in files {
        write(&folder.join(name), &text)?;
    }
    Ok(names)
}

fn texts(run: &Run, summary: &Summary) -> Vec<(&'static str, String)> {
    let samples: &[Sample] = &run.samples;
    // Numbers and text in a struct always have a JSON form.
    let json = serde_json::to_string_pretty(summary).unwrap_or_default();
    vec![
        (SUMMARY, json + "\n"),
        ("requests.csv", csv::requests(samples, &run.hostnames)),
        ("seconds.csv", csv::seconds(&summary.seconds)),
        ("latency.hlog", hdr_log::text(run)),
        ("cdf.svg", distribution(&[("this run", summary)])),
        ("latency.svg", plots::latency(summary)),
        ("rate.svg", plots::rate(summary)),
        ("instances.svg", plots::instances(summary)),
    ]
}

/// Writes a file in whole.
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error {
        path: path.to_owned(),
        source,
    })
}

pub(crate) use plots::{distribution, over_time};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;

    #[test]
    fn every_file_of_a_run_is_as_it_was() {
        let (run, told) = summary::example();
        let summary = Summary::of(&run, &told);
        for (name, text) in texts(&run, &summary) {
            insta::assert_snapshot!(name, text);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (run, told) = summary::example();
        let summary = Summary::of(&run, &told);
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        let names = write_all(&out, &run, &summary).unwrap();
        assert!(names.iter().all(|name| out.join(name).is_file()));
        let text = std::fs::read_to_string(out.join(SUMMARY)).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
    }
}
