//! A running node and the tools that talk to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::machine::Machine;

/// A node, and the kubeconfig that leads to it.
pub(crate) struct Cluster {
    pub(crate) machine: Machine,
    kubeconfig: String,
}

impl Cluster {
    /// A node with the image of the sample function.
    pub(crate) fn start() -> Self {
        let mut machine = Machine::new();
        machine.build_helloworld();
        machine.up();
        let kubeconfig = machine.ok(&["kubeconfig", "--path"]).trim().to_owned();
        Self {
            machine,
            kubeconfig,
        }
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
        let mut command = Command::new(program);
        command
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

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
