//! haproxy, set up to do the same: one route by host, kept connections on both sides.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use super::HOST;
use super::caller::Kind;
use super::servers::free_port;

const START: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// The binary on `PATH`.
pub(super) struct Haproxy {
    binary: PathBuf,
    version: String,
}

impl Haproxy {
    pub(super) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("haproxy"));
        let binary = candidates.find(|it| it.is_file())?;
        let output = Command::new(&binary).arg("-v").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next()?.split(" - ").next()?.to_owned();
        Some(Self { binary, version })
    }

    /// As it says itself.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Runs until the process is dropped.
    pub(super) async fn start(
        &self,
        folder: &Path,
        kind: Kind,
        backend: SocketAddr,
    ) -> Result<(SocketAddr, Child)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, config(kind, address, backend))?;
        let mut process = tokio::process::Command::new(&self.binary)
            // In the foreground, and silent.
            .args(["-db", "-q", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            started = timeout(START, listening) => started.context("haproxy does not listen")?,
            ended = process.wait() => bail!("haproxy ended: {}", ended?),
        }
        Ok((address, process))
    }
}

fn config(kind: Kind, address: SocketAddr, backend: SocketAddr) -> String {
    let proto = match kind {
        Kind::Http1 | Kind::WebSocket => "",
        Kind::Http2 | Kind::Grpc => " proto h2",
    };
    format!(
        "global\n  maxconn 4096\n\
         defaults\n  mode http\n  option forwardfor\n  http-reuse always\n  timeout connect 5s\n  timeout client 60s\n  \
         timeout server 60s\n  timeout tunnel 60s\n\
         frontend clients\n  bind {address}{proto}\n  use_backend function if {{ hdr(host) -i {HOST} }}\n\
         backend function\n  server one {backend}{proto}\n"
    )
}
