//! A containerd of a test's own: socket, folders and pod network are below a temporary folder, and nobody else's.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Far more than it takes to listen.
const LONG: Duration = Duration::from_secs(60);
/// Between two looks whether it listens: it tells systemd alone.
const PAUSE: Duration = Duration::from_millis(10);

/// A containerd, which is killed when this is dropped. Pods are to be removed before: their processes and networks outlive it.
pub struct Containerd {
    folder: TempDir,
    process: Option<Child>,
}

impl Containerd {
    /// Starts one whose pods have `sandbox_image` for their own container.
    pub fn start(sandbox_image: &str) -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let folder = TempDir::new()?;
        let path = folder.path().display();
        fs::create_dir(folder.path().join("cni"))?;
        // Of each process, and of each test in it: the addresses are the machine's.
        let second = (std::process::id() % 100) as u8 + 128;
        let third = NEXT.fetch_add(1, Ordering::Relaxed);
        fs::write(
            folder.path().join("cni/10-test.conflist"),
            format!(
                r#"{{"cniVersion": "0.4.0", "name": "vhive-test-{second}-{third}", "plugins": [{{"type": "ptp", "ipam": {{
                    "type": "host-local", "ranges": [[{{"subnet": "10.{second}.{third}.0/24"}}]], "dataDir": "{path}/ipam"}}}}]}}"#
            ),
        )?;
        fs::write(
            folder.path().join("config.toml"),
            format!(
                r#"
version = 2
root = "{path}/root"
state = "{path}/state"
[grpc]
  address = "{path}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{path}/cni"
"#
            ),
        )?;
        let mut containerd = Self {
            folder,
            process: None,
        };
        containerd.run()?;
        Ok(containerd)
    }

    /// Starts it again, after it was killed. What it had started went on meanwhile.
    pub fn run(&mut self) -> Result<()> {
        let log = File::create(self.folder().join("log"))?;
        let process = Command::new("containerd")
            .arg("--config")
            .arg(self.folder().join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("there is no containerd: apt-get install containerd runc containernetworking-plugins")?;
        self.process = Some(process);
        let begun = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            if begun.elapsed() > LONG {
                bail!("containerd does not listen: {}", self.log());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Ends it with a signal that it cannot catch.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Whether it was killed, and not started again.
    pub fn is_killed(&self) -> bool {
        self.process.is_none()
    }

    /// Takes in an archive of images, for what speaks the CRI to it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(archive)
            .output()
            .context("ctr is part of containerd")?;
        if !output.status.success() {
            bail!("ctr: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Where it keeps everything; there is room for what a test needs besides.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("containerd.sock")
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("containerd said:\n{}", self.log());
        }
    }
}
