//! `vhive functions build`: runs the scripts that make images, of samples those in this binary, of a folder its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use image::Store;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::catalogue::{Function, HELLOWORLD, SAMPLES};
use super::embedded;
use crate::cli::Global;
use crate::commands::{image as images, up};
use crate::exit::{Failure, Outcome};
use crate::output;

/// How long a script may take to tidy up.
const STOP: Duration = Duration::from_secs(5);

pub(super) async fn run(global: &Global, words: &[String], all: bool) -> Outcome {
    let functions = if all {
        SAMPLES.iter().map(Function::Sample).collect()
    } else {
        let named = words.iter().map(|word| Function::named(word));
        named.collect::<Outcome<Vec<_>>>()?
    };
    let builder = Builder::new(global)?;
    let mut failed = Vec::new();
    for (number, function) in (1..).zip(&functions) {
        if functions.len() > 1 {
            eprintln!("{}: {number} of {}", function.title(), functions.len());
        }
        match builder.build(function).await {
            Ok(digest) => output::say(format_args!("{} {digest}", function.image()?))?,
            Err(failure) if functions.len() == 1 || failure.is_stop() => return Err(failure),
            Err(failure) => {
                // The others do not depend on it.
                eprintln!("{failure}");
                failed.push(function.title());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(anyhow!(
        "{} of {} images were not made: {}",
        failed.len(),
        functions.len(),
        failed.join(", ")
    )
    .into())
}

/// Makes images in the data directory.
pub(super) struct Builder {
    store: Store,
    data_dir: PathBuf,
    /// The scripts and sources in this binary.
    sources: TempDir,
}

impl Builder {
    pub(super) fn new(global: &Global) -> Outcome<Self> {
        // Scripts run in folders of their own.
        let data_dir = std::path::absolute(&global.data_dir)
            .context("cannot tell where the data directory is")?;
        Ok(Self {
            store: Store::open(&data_dir.join("images"))?,
            data_dir,
            sources: embedded::unpack()?,
        })
    }

    /// The digest of a function's image, if it is here.
    pub(super) fn built(&self, function: &Function) -> Outcome<Option<String>> {
        let found = self.store.resolve(&function.image()?)?;
        Ok(found.map(|image| image.digest.to_string()))
    }

    /// Makes the image of a function, and returns its digest.
    pub(super) async fn build(&self, function: &Function) -> Outcome<String> {
        let begun = Instant::now();
        let title = function.title();
        let sources = self.sources.path();
        match function {
            Function::Sample(sample) if sample.name == HELLOWORLD => {
                images::make_helloworld(&self.store)?;
            }
            Function::Sample(sample) => {
                let mut script = Command::new(sources.join("build"));
                self.script(script.arg(sample.name).current_dir(sources), &title)
                    .await?;
            }
            Function::Folder(folder) => {
                let mut script = Command::new(folder.join("build"));
                self.script(script.current_dir(folder), &title).await?;
            }
        }
        let image = function.image()?;
        let digest = self.built(function)?.ok_or_else(|| {
            Failure::from(anyhow!(
                "{title}: its script ended well, and made no image {image}"
            ))
            .hint("name the same image in `build` and in `service.yaml`")
        })?;
        eprintln!("{title}: made in {}", output::duration(begun.elapsed()));
        Ok(digest)
    }

    /// Runs a script to its end. What it says is passed on as it says it; on its output it names the image, which the caller does.
    async fn script(&self, script: &mut Command, title: &str) -> Outcome {
        let itself = std::env::current_exe().context("cannot tell where this program is")?;
        let mut child = script
            .env("VHIVE", itself)
            .env("VHIVE_DATA_DIR", &self.data_dir)
            .env("VHIVE_FUNCTIONS", self.sources.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // With all that it starts, so that all of that can be told to stop.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot_start(script.as_std().get_program().as_ref(), error))?;
        let mut lines =
            BufReader::new(child.stderr.take().context("its messages are not piped")?).split(b'\n');
        let mut last = String::new();
        let ended = async {
            while let Some(line) = lines.next_segment().await? {
                let line = String::from_utf8_lossy(&line);
                eprintln!("{line}");
                if !line.trim().is_empty() {
                    last = line.into_owned();
                }
            }
            child.wait().await
        };
        let ended = tokio::select! {
            status = ended => Some(status),
            signalled = up::wait_for_signal() => signalled.map(|()| None)?,
        };
        let Some(status) = ended else {
            stop(&mut child).await;
            return Err(Failure::stopped(format!(
                "the image of {title} is not made: stopped before the end"
            )));
        };
        let status =
            status.with_context(|| format!("cannot follow how the image of {title} is made"))?;
        if status.success() {
            return Ok(());
        }
        Err(anyhow!("{last}")
            .context(format!("the image of {title} cannot be made ({status})"))
            .into())
    }
}

/// Has a script and what it has started end, and gives it time to remove its temporary files.
async fn stop(script: &mut Child) {
    let group = script.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    // It may have ended by itself meanwhile.
    if let Some(group) = group
        && kill_process_group(group, Signal::TERM).is_ok()
    {
        let _ = tokio::time::timeout(STOP, script.wait()).await;
    }
}

fn cannot_start(script: &Path, error: std::io::Error) -> Failure {
    let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
    let failure =
        Failure::from(anyhow!(error).context(format!("cannot start {}", script.display())));
    if denied {
        return failure.hint(format!("make it a program: chmod +x {}", script.display()));
    }
    failure
}
