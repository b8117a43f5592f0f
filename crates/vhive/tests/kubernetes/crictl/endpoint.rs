//! The endpoint, a containerd behind it, and `crictl` in front.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::containerd::Containerd;

use crate::harness::machine::{Machine, said, vhive};
use crate::harness::site;

/// Far more than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Between two looks at what tells nobody.
pub(crate) const WAIT: Duration = Duration::from_millis(20);

pub(crate) struct Endpoint {
    process: Option<Child>,
    pub(crate) machine: Machine,
    containerd: Containerd,
}

impl Endpoint {
    /// With the images `dev.local/box` and `dev.local/site`, which containerd has.
    pub(crate) fn start() -> Self {
        let machine = Machine::new();
        machine.build_box();
        site::build(&machine);
        // The sandbox's own container has nothing to do, and no end.
        machine.ok(&[
            "image",
            "build",
            "dev.local/pause:latest",
            "--binary",
            site::busybox(),
            "--entrypoint",
            "/busybox",
            "--entrypoint",
            "sleep",
            "--entrypoint",
            "1000000",
        ]);
        let containerd = Containerd::start("dev.local/pause:latest").expect("a containerd");
        for image in ["box", "site", "pause"] {
            let archive = machine.folder().join(format!("{image}.tar"));
            let path = archive.to_string_lossy();
            machine.ok(&[
                "image",
                "export",
                &format!("dev.local/{image}:latest"),
                "--output",
                &path,
            ]);
            containerd.import(&archive).expect("an image");
        }
        let mut endpoint = Self {
            process: None,
            machine,
            containerd,
        };
        endpoint.run();
        endpoint.wait_for_containerd();
        endpoint
    }

    /// Runs `vhive cri` until it listens.
    pub(crate) fn run(&mut self) {
        let mut process = vhive()
            .arg("--data-dir")
            .arg(self.machine.data_dir())
            .arg("cri")
            .arg("--socket")
            .arg(self.socket())
            .arg("--containerd")
            .arg(self.containerd.socket())
            .args(["--orchestrator", "0", "--net-pool-size", "1"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("vhive starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let listens = lines
            .by_ref()
            .map_while(Result::ok)
            .inspect(|line| eprintln!("endpoint: {line}"))
            .any(|line| line.starts_with("the CRI endpoint listens on "));
        // Read on, so that it never waits for its log to be taken. A failed test shows it.
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.for_each(|line| eprintln!("endpoint: {line}"));
        });
        self.process = Some(process);
        assert!(listens, "the endpoint did not start");
    }

    /// Kills it without giving it time for anything.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("a running endpoint");
        process.kill().expect("it is killed");
        process.wait().expect("it is reaped");
    }

    /// Its network, and what it knows of images, come a moment after its socket.
    fn wait_for_containerd(&self) {
        let begun = Instant::now();
        loop {
            let info = self.json(&["info"]);
            let conditions = info["status"]["conditions"].as_array();
            let ready = conditions.is_some_and(|it| it.iter().all(|it| it["status"] == true));
            let images = self.ok(&["images"]);
            if ready
                && ["box", "site", "pause"]
                    .iter()
                    .all(|it| images.contains(it))
            {
                return;
            }
            assert!(begun.elapsed() < LONG, "{info}\n{images}");
            std::thread::sleep(WAIT);
        }
    }

    fn socket(&self) -> PathBuf {
        self.machine.folder().join("cri.sock")
    }

    /// `crictl` with these arguments.
    fn crictl(&self, arguments: &[&str]) -> Command {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/crictl");
        assert!(
            built.is_file(),
            "there is no crictl: `cargo xtask test` builds it, with Go 1.26 or later on PATH"
        );
        let socket = format!("unix://{}", self.socket().display());
        let mut command = Command::new(built);
        command
            .args(["--runtime-endpoint", &socket, "--image-endpoint", &socket])
            .args(["--timeout", "120s"])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.crictl(arguments).output().expect("crictl starts")
    }

    /// Runs `crictl`, which must succeed, and returns its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `crictl`, which must fail, and returns all that it said.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).expect("JSON")
    }

    pub(crate) fn inspect(&self, id: &str) -> Value {
        self.json(&["inspect", id])
    }

    /// Runs a pod for this handler, and returns its id.
    pub(crate) fn pod(&self, name: &str, handler: &str) -> String {
        let config = self.pod_config(name);
        let id = self.ok(&["runp", "--runtime", handler, &config]);
        id.trim().to_owned()
    }

    fn pod_config(&self, name: &str) -> String {
        let folder = self.machine.folder();
        let text = format!(
            r#"{{"metadata": {{"name": "{name}", "namespace": "default", "uid": "uid-{name}"}}, "hostname": "{name}",
                "log_directory": "{}/logs/{name}", "linux": {{}}}}"#,
            folder.display()
        );
        self.file(&format!("{name}.json"), &text)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.machine.folder().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    }

    /// Makes a container in a pod of this name, and returns its id.
    pub(crate) fn create(&self, pod: &str, name: &str, config: &str) -> String {
        let config = self.file("container.json", config);
        let id = self.ok(&["create", pod, &config, &self.pod_config(name)]);
        id.trim().to_owned()
    }

    /// The pod's address.
    pub(crate) fn address(&self, pod: &str) -> String {
        let status = self.json(&["inspectp", pod]);
        let address = status["status"]["network"]["ip"].as_str();
        address.expect("an address").to_owned()
    }

    /// Waits until a container has exited, and returns its status.
    pub(crate) fn exited(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.inspect(id)["status"].clone();
            if status["state"] == "CONTAINER_EXITED" {
                return status;
            }
            assert!(begun.elapsed() < LONG, "it goes on: {status}");
            std::thread::sleep(WAIT);
        }
    }

    /// Forwards a port of this host to one of a pod.
    pub(crate) fn forward(&self, pod: &str, port: u16) -> Forward {
        let mut process = self
            .crictl(&["port-forward", pod, &format!(":{port}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("crictl starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let address = line.strip_prefix("Forwarding from 127.0.0.1:")?;
            address.split_whitespace().next()?.parse().ok()
        });
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Forward {
            port: port.expect("where it listens"),
            process,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.process.is_some() && !self.containerd.is_killed() {
            // Pods outlive both.
            let _ = self.output(&["rmp", "--all", "--force"]);
        }
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill")
                .args(["-TERM", &process.id().to_string()])
                .status();
            let _ = process.wait();
        }
    }
}

pub(crate) struct Forward {
    pub(crate) port: u16,
    process: Child,
}

impl Forward {
    pub(crate) fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.end();
    }
}

/// Kills a process of the test's own.
pub(crate) fn kill(pid: &str) {
    let killed = Command::new("kill").args(["-KILL", pid]).status();
    assert!(killed.is_ok_and(|it| it.success()), "no process {pid}");
}
