//! A running node and the tools that talk to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::machine::{Machine, said};

/// Longer than any command here takes; one that hangs is ended then, and fails its test.
const DEADLINE: &str = "120";

/// A node, and the kubeconfig that leads to it.
pub(crate) struct Cluster {
    pub(crate) machine: Machine,
    kubeconfig: String,
}

impl Cluster {
    /// A node on an empty data directory. The image of the sample function is its own doing.
    pub(crate) fn start() -> Self {
        let mut machine = Machine::new();
        machine.up();
        let kubeconfig = machine.ok(&["kubeconfig", "--path"]).trim().to_owned();
        Self {
            machine,
            kubeconfig,
        }
    }

    /// A node with the service `hello` at scale zero, ready.
    pub(crate) fn with_hello() -> Self {
        let cluster = Self::start();
        cluster.ok(&["apply", "-f", &cluster.hello("hello", "one")]);
        cluster.wait_for_hello();
        cluster
    }

    /// `kubectl wait`, as long as it takes.
    pub(crate) fn wait_for_hello(&self) {
        self.ok(&[
            "wait",
            "--for=condition=Ready",
            "ksvc/hello",
            "--timeout=100s",
        ]);
    }

    /// Runs `kubectl`, which must succeed, and returns its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments).output().expect("kubectl starts");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `kubectl`, which must fail, and returns all that it said.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        refusal(self.kubectl(arguments))
    }

    /// `kubectl` with these arguments, to be run in the repository, as the documentation does.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        let program = on_path("kubectl");
        self.tool(
            &program.expect("there is no kubectl: apt-get install kubernetes-client"),
            arguments,
        )
    }

    /// `kn` with these arguments.
    pub(crate) fn kn(&self, arguments: &[&str]) -> Command {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/kn");
        let program = Some(built).filter(|path| path.is_file());
        let program = program.or_else(|| on_path("kn"));
        self.tool(
            &program.expect(
                "there is no kn: `cargo xtask test` builds it, with Go 1.22 or later on PATH",
            ),
            arguments,
        )
    }

    fn tool(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .arg(DEADLINE)
            .arg(program)
            .args(arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .env("KUBECONFIG", &self.kubeconfig)
            // Neither their caches nor their settings are the user's.
            .env("HOME", self.machine.folder())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Writes a file for a tool to read, and returns where it is.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.machine.folder().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    }

    /// `manifest` with another text in place of one that it has, in a file of this name.
    pub(crate) fn changed(&self, manifest: &str, name: &str, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(manifest).expect("a manifest");
        assert!(text.contains(from), "no {from:?} in {text}");
        self.file(name, &text.replacen(from, to, 1))
    }

    /// The manifest of the sample function, deployed without starting an instance.
    pub(crate) fn hello(&self, name: &str, word: &str) -> String {
        self.file(
            &format!("{name}.yaml"),
            &format!(
                "apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: {name}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/initial-scale: \"0\"
    spec:
      containers:
        - image: dev.local/helloworld
          ports:
            - name: h2c
              containerPort: 50051
          env:
            - name: WORD
              value: {word}
"
            ),
        )
    }

    /// Ends the node; nothing of it may be left.
    pub(crate) fn stop(mut self) {
        self.machine.stop();
        assert_eq!(self.machine.leftovers(), Vec::<String>::new());
    }
}

/// Runs a tool, which must fail, and returns all that it said.
pub(crate) fn refusal(mut tool: Command) -> String {
    let output = tool.output().expect("the tool starts");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{tool:?}: {text}");
    text
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
