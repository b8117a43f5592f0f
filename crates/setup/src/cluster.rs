//! Many nodes at once, over the system's ssh: the whole guide from one machine.
//!
//! Each node gets this program, and runs the same verbs that somebody would type there. What is done where, and when, is a list of
//! stages, made before anything is done.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use thiserror::Error;

use crate::cli::{Called, Setup};
use crate::paths::ADMIN_CONF;
use crate::verb::{Sandbox, Verb};

/// The folder on each node, in the home of its user.
const FOLDER: &str = "vhive-setup";

/// Nodes, and what is to be done on them.
#[derive(Debug, Clone)]
pub struct Fleet {
    nodes: Vec<String>,
    setup: Setup,
    called: Called,
    program: PathBuf,
}

/// Commands that run side by side, one for each node or fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it is for.
    pub what: &'static str,
    /// On which node, and the local command: ssh or scp.
    pub commands: Vec<(String, Vec<String>)>,
}

/// Why it ended early.
#[derive(Debug, Error)]
pub enum Error {
    /// Not a word for ssh.
    #[error("{0:?} is not USER@HOST or HOST")]
    Node(String),
    /// Twice the same.
    #[error("{0} is named twice")]
    Twice(String),
    /// A program is not there.
    #[error("cannot start {program}: install openssh-client")]
    Start {
        /// ssh or scp.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A node failed.
    #[error("{what} failed on {}; its logs are in ~/{FOLDER} there, and the same command goes on where it stopped", nodes.join(" and "))]
    Nodes {
        /// The stage.
        what: &'static str,
        /// On which.
        nodes: Vec<String>,
    },
}

impl Fleet {
    /// Of a command line.
    pub fn new(setup: &Setup, called: Called, program: &Path) -> Result<Self, Error> {
        for (index, node) in setup.nodes.iter().enumerate() {
            // A word that begins with a dash would be an option of ssh.
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-_@:".contains(c);
            if node.is_empty() || node.starts_with('-') || !node.chars().all(plain) {
                return Err(Error::Node(node.clone()));
            }
            if setup.nodes[..index].contains(node) {
                return Err(Error::Twice(node.clone()));
            }
        }
        Ok(Self {
            nodes: setup.nodes.clone(),
            setup: setup.clone(),
            called,
            program: program.to_owned(),
        })
    }

    fn sandbox(&self) -> Sandbox {
        self.setup.sandbox.unwrap_or(Sandbox::Firecracker)
    }

    fn workers(&self) -> &[String] {
        &self.nodes[1..]
    }

    /// A verb, as a node runs it.
    fn verb(&self, verb: Verb, change: impl FnOnce(&mut Setup)) -> String {
        let mut setup = Setup {
            verb,
            sandbox: verb.needs_sandbox().then(|| self.sandbox()),
            stargz: self
                .setup
                .stargz
                .clone()
                .filter(|_| verb == Verb::SetupNode),
            nodes: Vec::new(),
            bundle: self.setup.bundle.as_ref().map(|_| "bundle.tar".into()),
            setup_configs_dir: self
                .setup
                .setup_configs_dir
                .as_ref()
                .map(|_| "setup".into()),
            vhive_repo_dir: None,
            yes: true,
            dry_run: false,
            ..self.setup.clone()
        };
        change(&mut setup);
        let called = self.called.words.iter().map(|word| (*word).to_owned());
        let words = called.chain(setup.words()).map(|word| quoted(&word));
        let words: Vec<String> = words.collect();
        format!("cd {FOLDER} && ./vhive {}", words.join(" "))
    }
}

/// A word for the shell of a node.
fn quoted(word: &str) -> String {
    crate::plan::Command::words([word]).to_string()
}

/// How a clean or a check, or a cluster, is come by.
pub fn stages(fleet: &Fleet) -> Vec<Stage> {
    match fleet.setup.verb {
        Verb::Check | Verb::Clean => {
            let line = fleet.verb(fleet.setup.verb, |_| ());
            // The nodes were set up by the program that is there already; its user may not see what was done.
            let line = line.replace("./vhive", "sudo -n ./vhive");
            let mut stages = Vec::new();
            let what = if fleet.setup.verb == Verb::Check {
                "check"
            } else {
                "clean"
            };
            // Workers leave a cluster before it ends.
            for nodes in [fleet.workers(), &fleet.nodes[..1]] {
                stages.push(on(what, nodes, &line));
            }
            stages.retain(|stage| !stage.commands.is_empty());
            stages
        }
        _ => create(fleet),
    }
}

fn create(fleet: &Fleet) -> Vec<Stage> {
    let (master, workers) = (&fleet.nodes[..1], fleet.workers());
    let everywhere = &fleet.nodes[..];
    let mut stages = vec![
        on(
            "reach all nodes",
            everywhere,
            &format!("mkdir -p {FOLDER} && sudo -n true"),
        ),
        send("send the program", everywhere, &fleet.program, "vhive.new"),
        on(
            "put the program in its place",
            everywhere,
            &format!("cd {FOLDER} && chmod 755 vhive.new && mv vhive.new vhive"),
        ),
    ];
    if let Some(bundle) = &fleet.setup.bundle {
        stages.push(send("send the bundle", everywhere, bundle, "bundle.tar"));
    }
    let repo = fleet
        .setup
        .vhive_repo_dir
        .as_ref()
        .map(|folder| folder.join("configs/setup"));
    if let Some(configs) = fleet.setup.setup_configs_dir.clone().or(repo) {
        stages.push(send(
            "send the configuration",
            everywhere,
            &configs,
            "setup",
        ));
    }
    stages.push(on(
        "set up nodes",
        everywhere,
        &fleet.verb(Verb::SetupNode, |_| ()),
    ));
    if workers.is_empty() {
        let alone = fleet.verb(Verb::CreateOneNodeCluster, |_| ());
        stages.push(on("create the cluster", master, &alone));
    } else {
        let init = fleet.verb(Verb::CreateMultinodeCluster, |setup| {
            setup.until = Some("join/key".to_owned());
        });
        stages.push(on("create the cluster", master, &init));
        stages.push(relayed("give the key to workers", &master[0], workers));
        let join = fleet.verb(Verb::JoinCluster, |setup| {
            setup.master_key = Some("masterKey.yaml".into());
        });
        stages.push(on("join workers", workers, &join));
        let deploy = fleet.verb(Verb::CreateMultinodeCluster, |_| ());
        stages.push(on("deploy Knative", master, &deploy));
    }
    let wait = format!(
        "sudo -n kubectl --kubeconfig {ADMIN_CONF} wait deployments --all --all-namespaces --for=condition=Available --timeout=600s"
    );
    stages.push(on("wait until all is ready", master, &wait));
    stages
}

/// ssh's options: it asks nobody, and knows a node from its first contact on.
const OPTIONS: [&str; 6] = [
    "-o",
    "BatchMode=yes",
    "-o",
    "StrictHostKeyChecking=accept-new",
    "-o",
    "ServerAliveInterval=15",
];

fn on(what: &'static str, nodes: &[String], line: &str) -> Stage {
    let command = |node: &String| {
        let words = ["ssh"]
            .into_iter()
            .chain(OPTIONS)
            .chain([node.as_str(), line]);
        (node.clone(), words.map(str::to_owned).collect())
    };
    Stage {
        what,
        commands: nodes.iter().map(command).collect(),
    }
}

fn send(what: &'static str, nodes: &[String], from: &Path, to: &str) -> Stage {
    let command = |node: &String| {
        let to = format!("{node}:{FOLDER}/{to}");
        let from = from.to_string_lossy();
        let words = ["scp", "-q", "-r"]
            .into_iter()
            .chain(OPTIONS)
            .chain([&*from, to.as_str()]);
        (node.clone(), words.map(str::to_owned).collect())
    };
    Stage {
        what,
        commands: nodes.iter().map(command).collect(),
    }
}

/// A file of the master's to the workers, through this machine and never onto its disk.
fn relayed(what: &'static str, master: &str, workers: &[String]) -> Stage {
    let options = OPTIONS.join(" ");
    let command = |node: &String| {
        let line = format!(
            "ssh {options} {master} 'cat {FOLDER}/masterKey.yaml' | ssh {options} {node} 'umask 077 && cat > {FOLDER}/masterKey.yaml && test -s {FOLDER}/masterKey.yaml'"
        );
        (node.clone(), vec!["sh".to_owned(), "-c".to_owned(), line])
    };
    Stage {
        what,
        commands: workers.iter().map(command).collect(),
    }
}

/// All commands, as they would be typed.
pub fn shown(stages: &[Stage]) -> String {
    let mut text = String::new();
    for stage in stages {
        let _ = writeln!(text, "## {}", stage.what);
        for (_, words) in &stage.commands {
            let _ = writeln!(text, "$ {}", crate::plan::Command::words(words.clone()));
        }
        text.push('\n');
    }
    text
}

/// One stage after the other; what nodes print comes with their names before it.
pub fn run(stages: &[Stage]) -> Result<(), Error> {
    let begun = Instant::now();
    for stage in stages {
        let at = begun.elapsed().as_secs();
        eprintln!("{:02}:{:02} {}", at / 60, at % 60, stage.what);
        let results: Vec<Result<bool, Error>> = thread::scope(|scope| {
            let threads: Vec<_> = stage
                .commands
                .iter()
                .map(|(node, words)| scope.spawn(move || command(node, words)))
                .collect();
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or(Ok(false)));
            ended.collect()
        });
        let mut nodes = Vec::new();
        for (result, (node, _)) in results.into_iter().zip(&stage.commands) {
            if !result? {
                nodes.push(node.clone());
            }
        }
        if !nodes.is_empty() {
            return Err(Error::Nodes {
                what: stage.what,
                nodes,
            });
        }
    }
    Ok(())
}

/// Whether a command succeeded.
fn command(node: &str, words: &[String]) -> Result<bool, Error> {
    let start = |source| Error::Start {
        program: words[0].clone(),
        source,
    };
    let (reader, writer) = io::pipe().map_err(start)?;
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(start)?)
        .stderr(writer)
        .spawn()
        .map_err(start)?;
    for line in BufReader::new(reader).lines() {
        match line {
            Ok(line) => eprintln!("{node}: {line}"),
            Err(source) => return Err(start(source)),
        }
    }
    Ok(child.wait().map_err(start)?.success())
}

/// What is typed next.
pub fn next(fleet: &Fleet) -> String {
    let master = &fleet.nodes[0];
    let class = match fleet.sandbox() {
        Sandbox::StockOnly => "",
        Sandbox::Gvisor => "\n  functions in gVisor say runtimeClassName: gvisor",
        Sandbox::Firecracker if fleet.setup.compat => "",
        Sandbox::Firecracker => "\n  functions in microVMs say runtimeClassName: vhive",
    };
    format!(
        "the cluster is ready\n  ssh {master} kubectl get nodes\n  ssh {master} kn service create hello --image ghcr.io/knative/helloworld-go{class}\n"
    )
}
