//! A node in a process of its own, on a data directory of its own: its memory is the node's alone.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use vmm::kernel::KernelStore;

use crate::cli::Global;
use crate::client::api::Api;
use crate::exit::{Failure, Outcome};
use crate::host;

/// Longer than a node without instances needs to stop.
const STOP: Duration = Duration::from_secs(60);
/// What it prints once it listens.
const LISTENS: &str = "the API listens on ";
const INGRESS: &str = ", the ingress on ";

pub(super) struct NodeProcess {
    process: Child,
    pid: u32,
    server: String,
    ingress: SocketAddr,
    folder: TempDir,
}

/// Bytes of a process's memory that are in RAM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) now: u64,
    /// The most that it ever was.
    pub(super) peak: u64,
}

impl NodeProcess {
    /// Starts it with further arguments of `vhive up`, and waits until it listens. The kernel is that of the data directory.
    pub(super) async fn start(global: &Global, arguments: &[&str]) -> Outcome<Self> {
        host::require_root()?;
        host::make_data_dir(&global.data_dir)?;
        let kernels = global.data_dir.join("kernels");
        if KernelStore::open(&kernels)?.latest()?.is_none() {
            return Err(Failure::from(anyhow!("there is no guest kernel"))
                .hint("get one: vhive kernel fetch"));
        }
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&global.data_dir)
            .with_context(|| format!("cannot make a folder in {}", global.data_dir.display()))?;
        let kernels = kernels
            .canonicalize()
            .with_context(|| format!("cannot find {}", kernels.display()))?;
        let own = folder.path().join("kernels");
        std::os::unix::fs::symlink(&kernels, &own)
            .with_context(|| format!("cannot link {}", own.display()))?;
        let binary = std::env::current_exe().context("cannot find this program's file")?;
        let mut process = Command::new(&binary)
            .arg("--data-dir")
            .arg(folder.path())
            .args(["--log", "warn", "up"])
            .args(["--api", "127.0.0.1:0", "--ingress", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let pid = process.id().context("the node ended at once")?;
        let output = process.stderr.take().context("the node has no output")?;
        let mut lines = BufReader::new(output).lines();
        let mut said = Vec::new();
        let (server, ingress) = loop {
            match lines.next_line().await? {
                Some(text) => {
                    if let Some(addresses) = addresses(&text) {
                        break addresses;
                    }
                    said.push(text);
                }
                None => return Err(anyhow!("the node did not start:\n{}", said.join("\n")).into()),
            }
        };
        // Read on, so that the node never waits for its log to be taken.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("node: {line}");
            }
        });
        Ok(Self {
            process,
            pid,
            server,
            ingress,
            folder,
        })
    }

    pub(super) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// A client of its API.
    pub(super) fn api(&self) -> Outcome<Api> {
        Api::new(&self.server, self.data_dir())
    }

    /// Where it takes requests to functions.
    pub(super) fn ingress(&self) -> SocketAddr {
        self.ingress
    }

    pub(super) fn resident(&self) -> Outcome<Resident> {
        let path = format!("/proc/{}/status", self.pid);
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Ok(resident(&status))
    }

    /// Stops it in the orderly way.
    pub(super) async fn stop(mut self) -> Outcome {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.context("the node has no process")?;
        kill_process(pid, Signal::TERM).context("cannot tell the node to stop")?;
        let ended = tokio::time::timeout(STOP, self.process.wait()).await;
        let status = ended.context("the node does not stop")??;
        if !status.success() {
            return Err(anyhow!("the node did not stop cleanly: {status}").into());
        }
        Ok(())
    }
}

/// URL of the API and address of the ingress, if this is the line that tells them.
fn addresses(line: &str) -> Option<(String, SocketAddr)> {
    let (server, rest) = line.strip_prefix(LISTENS)?.split_once(INGRESS)?;
    let ingress = rest.split(',').next()?.trim().parse().ok()?;
    Some((server.to_owned(), ingress))
}

/// From `proc_pid_status(5)`.
fn resident(status: &str) -> Resident {
    let field = |name: &str| {
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Resident {
        now: field("VmRSS:"),
        peak: field("VmHWM:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_are_read() {
        let line = "the API listens on https://127.0.0.1:7443, the ingress on 127.0.0.1:8080";
        let expected = (
            "https://127.0.0.1:7443".to_owned(),
            ([127, 0, 0, 1], 8080).into(),
        );
        assert_eq!(addresses(line), Some(expected));
        assert_eq!(addresses("the API listens on nothing"), None);
    }

    #[test]
    fn memory_is_read_with_its_peak() {
        let status = "Name:\tvhive\nVmPeak:\t  900000 kB\nVmHWM:\t   60000 kB\nVmRSS:\t   50000 kB\nThreads:\t9\n";
        let expected = Resident {
            now: 50_000 << 10,
            peak: 60_000 << 10,
        };
        assert_eq!(resident(status), expected);
    }
}
