//! What a run tells: to people on stderr, to programs as JSON on stdout, and to the log files in the current folder.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Where a run is told of.
#[derive(Debug)]
pub struct Journal {
    common: Option<Mutex<File>>,
    error: Option<Mutex<File>>,
    /// The folder and the names of the log files.
    pub logs: Option<(PathBuf, PathBuf)>,
    json: bool,
    quiet: bool,
    begun: Instant,
}

/// What is told.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A plan begins.
    Plan {
        /// What was asked for.
        title: &'a str,
        /// How many steps there are.
        steps: usize,
    },
    /// A step begins.
    Begun {
        /// Its name.
        step: &'a str,
        /// Why it is done.
        why: &'a str,
    },
    /// A step ended.
    Done {
        /// Its name.
        step: &'a str,
        /// How many have ended by now.
        number: usize,
        /// Of how many.
        of: usize,
        /// What it came to.
        outcome: Outcome,
        /// How long it took.
        seconds: f64,
    },
    /// A step failed.
    Failed {
        /// Its name.
        step: &'a str,
        /// Why, with its causes.
        cause: &'a str,
    },
    /// Something to know.
    Note {
        /// What.
        text: &'a str,
    },
    /// Something was undone.
    Undone {
        /// What.
        what: &'a str,
    },
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Something was changed.
    Changed,
    /// It was so already.
    AlreadySo,
    /// It was done by the run that failed.
    DoneBefore,
    /// It was not asked for.
    LeftOut,
}

impl Journal {
    /// With log files `VERB_common.log` and `VERB_error.log` in a folder, owned by a user.
    pub fn open(folder: &Path, verb: &str, owner: (u32, u32), json: bool) -> std::io::Result<Self> {
        let open = |name: String| {
            let path = folder.join(name);
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
            }
            Ok::<_, std::io::Error>((path, file))
        };
        let (common_path, common) = open(format!("{verb}_common.log"))?;
        let (error_path, error) = open(format!("{verb}_error.log"))?;
        Ok(Self {
            common: Some(Mutex::new(common)),
            error: Some(Mutex::new(error)),
            logs: Some((common_path, error_path)),
            json,
            quiet: false,
            begun: Instant::now(),
        })
    }

    /// Without log files, and silent.
    pub fn silent() -> Self {
        Self {
            common: None,
            error: None,
            logs: None,
            json: false,
            quiet: true,
            begun: Instant::now(),
        }
    }

    /// Tells.
    pub fn tell(&self, event: &Event) {
        let line = self.line(event);
        let level = matches!(event, Event::Failed { .. });
        self.log(&line);
        if level {
            append(self.error.as_ref(), &line);
        }
        if self.quiet {
            return;
        }
        if self.json {
            if let Ok(line) = serde_json::to_string(event) {
                println!("{line}");
            }
        } else if !matches!(event, Event::Failed { .. }) {
            // A failure is told at the end, by whoever runs this, with the way on.
            eprintln!("{line}");
        }
    }

    /// Puts text into the common log.
    pub fn log(&self, text: &str) {
        append(self.common.as_ref(), text);
    }

    fn line(&self, event: &Event) -> String {
        let at = clock(self.begun.elapsed());
        match event {
            Event::Plan { title, steps } => format!("{at} {title}: {steps} steps"),
            Event::Begun { step, why } => format!("{at} {step}: {why}"),
            Event::Done {
                step,
                number,
                of,
                outcome,
                seconds,
            } => {
                let outcome = match outcome {
                    Outcome::Changed => format!("done in {seconds:.1} s"),
                    Outcome::AlreadySo => "already so".to_owned(),
                    Outcome::DoneBefore => "done before".to_owned(),
                    Outcome::LeftOut => "left out".to_owned(),
                };
                format!("{at} [{number}/{of}] {step}: {outcome}")
            }
            Event::Failed { step, cause } => format!("{at} {step} failed: {cause}"),
            Event::Note { text } => (*text).to_owned(),
            Event::Undone { what } => format!("{at} undone: {what}"),
        }
    }
}

fn append(file: Option<&Mutex<File>>, text: &str) {
    if let Some(file) = file {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk is told by the step that it stops, not by its log.
        let _ = writeln!(file, "{}", text.trim_end());
    }
}

/// Minutes and seconds.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}
