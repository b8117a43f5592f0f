//! A data directory of its own for each test, and a node on it that is taken down whatever happens.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::site;
use super::small_disk::SmallDisk;

/// Longer than a node needs to take everything down, draining included.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn vhive() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhive"));
    command
        .env_remove("VHIVE_DATA_DIR")
        .env_remove("VHIVE_SERVER")
        .env("VHIVE_LOG", "info")
        .stdin(Stdio::null());
    command
}

/// A folder with a guest kernel, fetched once for all tests and runs.
fn kernels() -> &'static Path {
    static KERNELS: OnceLock<PathBuf> = OnceLock::new();
    KERNELS.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("data");
        std::fs::create_dir_all(&cache).expect("a cache");
        // Another run of the tests may be about to fetch it too.
        let lock = File::create(cache.join("lock")).expect("the cache's lock");
        lock.lock().expect("the cache's lock");
        let listed = vhive()
            .arg("--data-dir")
            .arg(&cache)
            .args(["kernel", "ls"])
            .output()
            .expect("vhive starts");
        if String::from_utf8_lossy(&listed.stdout).lines().count() < 2 {
            let fetched = vhive()
                .arg("--data-dir")
                .arg(&cache)
                .args(["kernel", "fetch"])
                .output()
                .expect("vhive starts");
            assert!(
                fetched.status.success(),
                "no guest kernel: {}",
                said(&fetched)
            );
        }
        cache.join("kernels")
    })
}

/// All that a command printed.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The node chooses a free port itself, which nobody can take in between.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// What an import of a kernel locks, in the folder of kernels. It is empty and stays.
pub(crate) const KERNEL_LOCK: &str = ".importing";

/// A machine's worth of vhive: a data directory, ports, and perhaps a running node.
pub(crate) struct Machine {
    api: String,
    ingress: String,
    node: Option<Child>,
    /// Unmounted before the folder it is mounted on is removed.
    _disk: Option<SmallDisk>,
    folder: TempDir,
}

impl Machine {
    /// An empty data directory, but for a guest kernel.
    pub(crate) fn new() -> Self {
        Self::on(tempfile::tempdir().expect("a temporary folder"), None)
    }

    /// The same on a disk of `megabytes`.
    pub(crate) fn on_a_disk_of(megabytes: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = SmallDisk::mount(folder.path(), megabytes);
        Self::on(folder, Some(disk))
    }

    fn on(folder: TempDir, disk: Option<SmallDisk>) -> Self {
        let machine = Self {
            api: ANY_PORT.to_owned(),
            ingress: ANY_PORT.to_owned(),
            node: None,
            _disk: disk,
            folder,
        };
        std::fs::create_dir_all(machine.data_dir()).expect("a data directory");
        symlink(kernels(), machine.data_dir().join("kernels")).expect("a link to the kernels");
        machine
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for what a test needs besides.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// HOST:PORT of the ingress, once the node runs.
    pub(crate) fn ingress(&self) -> &str {
        &self.ingress
    }

    /// URL of the API, once the node runs.
    pub(crate) fn api_url(&self) -> String {
        format!("https://{}", self.api)
    }

    /// The process of the running node.
    pub(crate) fn node_pid(&self) -> u32 {
        self.node.as_ref().expect("a running node").id()
    }

    /// Starts the node and waits until it listens. Its successor listens at the same addresses.
    pub(crate) fn up(&mut self) {
        let mut node = vhive()
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["up", "--api", &self.api, "--ingress", &self.ingress])
            .args(["--net-pool-size", "2"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("vhive starts");
        let mut lines = BufReader::new(node.stderr.take().expect("piped")).lines();
        let mut seen = Vec::new();
        let addresses = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let addresses = line.strip_prefix("the API listens on https://");
            let addresses = addresses.map(ToOwned::to_owned);
            seen.push(line);
            addresses
        });
        let Some(addresses) = addresses else {
            let _ = node.wait();
            panic!(
                "the node did not start; root, QEMU (apt-get install qemu-system-x86) and a kernel are needed:\n{}",
                seen.join("\n")
            );
        };
        let (api, ingress) = addresses
            .split_once(", the ingress on ")
            .expect("two addresses");
        (self.api, self.ingress) = (api.to_owned(), ingress.to_owned());
        // Read on, so that the node never waits for its log to be taken. A failed test shows it.
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.for_each(|line| eprintln!("node: {line}"));
        });
        self.node = Some(node);
    }

    /// Kills the node without giving it time for anything.
    pub(crate) fn kill(&mut self) {
        let mut node = self.node.take().expect("a running node");
        node.kill().expect("the node is killed");
        node.wait().expect("the node is reaped");
    }

    /// Asks the node to stop, as ctrl-c does, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let Some(mut node) = self.node.take() else {
            return;
        };
        let pid = node.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(
            told.is_ok_and(|status| status.success()),
            "the node was gone already"
        );
        assert!(
            node.wait().expect("the node is reaped").success(),
            "the node did not stop cleanly"
        );
    }

    /// A command against this machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = vhive();
        command
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--server", &format!("https://{}", self.api)])
            .args(arguments);
        command
    }

    /// Runs a command against this machine.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("vhive starts")
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "vhive {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// An object of the API.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.ok(&["get", kind, name, "-o", "json"])).expect("JSON")
    }

    /// Makes the image of the sample function.
    pub(crate) fn build_helloworld(&self) {
        self.ok(&[
            "image",
            "build",
            "dev.local/helloworld:latest",
            "--binary",
            env!("VHIVE_HELLOWORLD"),
            "--port",
            "50051",
        ]);
    }

    /// Makes the image `dev.local/box`, whose program is a shell of many tools.
    pub(crate) fn build_box(&self) {
        self.ok(&[
            "image",
            "build",
            "dev.local/box:latest",
            "--binary",
            site::busybox(),
            "--entrypoint",
            "/busybox",
        ]);
    }

    /// Writes the manifest of a function of one container, given as YAML flow mappings, and returns where it is.
    pub(crate) fn manifest(&self, name: &str, container: &str, annotations: &str) -> String {
        let manifest = self.folder.path().join(format!("{name}.yaml"));
        let text = format!(
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  template:\n    metadata: {{annotations: {{{annotations}}}}}\n    spec: {{containers: [{{{container}}}]}}\n"
        );
        std::fs::write(&manifest, text).expect("a manifest");
        manifest.to_string_lossy().into_owned()
    }

    /// Applies such a function, and returns what became of it.
    pub(crate) fn apply(&self, name: &str, container: &str, annotations: &str) -> Output {
        self.run(&["apply", "-f", &self.manifest(name, container, annotations)])
    }

    /// Namespaces and hypervisors that belong to this machine.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = self.namespaces();
        left.extend(self.hypervisors());
        left
    }

    /// What is in the folder of run files, but for its lock.
    pub(crate) fn run_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.data_dir().join("run"));
        let names = entries.into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != ".lock").collect()
    }

    fn namespaces(&self) -> Vec<String> {
        let run = self.data_dir().join("run");
        let id = sandbox::Config::node_id_for(&run);
        let namespaces = std::fs::read_dir("/run/netns")
            .into_iter()
            .flatten()
            .flatten();
        namespaces
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(&format!("vhive-{id}-")))
            .collect()
    }

    /// The processes of this machine's guests.
    pub(crate) fn hypervisors(&self) -> Vec<String> {
        let mut left = Vec::new();
        let marker = self.data_dir().join("run").to_string_lossy().into_owned();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let owner = environment
                .split(|byte| *byte == 0)
                .find_map(|pair| pair.strip_prefix(b"VHIVE_INSTANCE="));
            if owner.is_some_and(|owner| String::from_utf8_lossy(owner).starts_with(&marker)) {
                left.push(format!("process {}", process.file_name().to_string_lossy()));
            }
        }
        left
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut node) = self.node.take() {
            // A failed test: end it in the orderly way, so that nothing of it is left either.
            let _ = Command::new("kill")
                .args(["-TERM", &node.id().to_string()])
                .status();
            let told = Instant::now();
            while matches!(node.try_wait(), Ok(None)) {
                if told.elapsed() > STOP_DEADLINE {
                    let _ = node.kill();
                    let _ = node.wait();
                }
                std::thread::yield_now();
            }
        }
    }
}
