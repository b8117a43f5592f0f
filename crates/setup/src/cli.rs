//! The command line: `setup_tool VERB …` and `vhive setup VERB …`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::{Args, CommandFactory, Parser, ValueEnum};
use thiserror::Error;

use crate::bundle;
use crate::cluster::{self, Fleet};
use crate::config::{self, Config};
use crate::dry_run::{self, View};
use crate::engine::{self, Choice, Extent, Host, Journal, MasterKey, State, Store};
use crate::facts::{self, Facts};
use crate::plan::{self, Options, Plan, Target};
use crate::verb::{Sandbox, Verb};

/// Sets up nodes and clusters.
#[derive(Debug, Parser)]
#[command(name = "setup_tool", version)]
pub struct SetupTool {
    /// All of it.
    #[command(flatten)]
    pub setup: Setup,
}

/// What to set up, and how.
#[derive(Debug, Clone, Args)]
pub struct Setup {
    /// What to do
    #[arg(value_name = "VERB")]
    pub verb: Verb,
    /// What functions run in; verbs for a node or a cluster need it
    pub sandbox: Option<Sandbox>,
    /// With `setup_node`: pull images as they are read
    #[arg(value_parser = ["use-stargz"])]
    pub stargz: Option<String>,
    /// Print every command that would run and every file that would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Begin with this step
    #[arg(long, value_name = "STEP", conflicts_with = "again")]
    pub from: Option<String>,
    /// End with this step
    #[arg(long, value_name = "STEP")]
    pub until: Option<String>,
    /// After a failure: look at all steps again, not only at those from the one that failed
    #[arg(long)]
    pub again: bool,
    /// With clean: undo the cluster, and leave the node as it was set up for one
    #[arg(long)]
    pub cluster: bool,
    /// Answer all questions with yes
    #[arg(short, long)]
    pub yes: bool,
    /// Tell what happens as JSON, a line for each event
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Nodes to work on over ssh, USER@HOST with commas between; the first is the master
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    pub nodes: Vec<String>,
    /// Install from this archive, without a network
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// With bundle: the archive to write
    #[arg(long, value_name = "FILE", default_value = "vhive-bundle.tar")]
    pub file: PathBuf,
    /// With `join_cluster`: the file masterKey.yaml of the master
    #[arg(long, value_name = "FILE")]
    pub master_key: Option<PathBuf>,
    /// Set the queue-proxy image of vHive instead of the runtime class `vhive`
    #[arg(long)]
    pub compat: bool,
    /// Take Kourier for the ingress instead of Istio
    #[arg(long)]
    pub kourier: bool,
    /// Have kube-proxy and Calico speak nftables instead of iptables
    #[arg(long)]
    pub nftables: bool,
    /// The address that other nodes reach this one by (default: that of the default route)
    #[arg(long, value_name = "ADDR")]
    pub node_ip: Option<IpAddr>,
    /// Folder with system.json, kube.json, knative.json, vhive.json or checksums.json (default: built in)
    #[arg(long, value_name = "DIR")]
    pub setup_configs_dir: Option<PathBuf>,
    /// A checkout whose configs/setup is used
    #[arg(long, value_name = "DIR")]
    pub vhive_repo_dir: Option<PathBuf>,
    /// With --force-remote: the branch
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    pub vhive_repo_branch: String,
    /// With --force-remote: the repository
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://github.com/vhive-serverless/vHive.git"
    )]
    pub vhive_repo_url: String,
    /// Clone the repository, and use its configs/setup
    #[arg(long)]
    pub force_remote: bool,
}

/// How what happens is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line of JSON for each event
    Json,
}

/// Why it did not come to a good end.
#[derive(Debug, Error)]
pub enum Error {
    /// The words do not fit.
    #[error("{0}")]
    Usage(String),
    /// The host is not one for it.
    #[error("this host cannot be set up")]
    Facts(#[from] facts::Error),
    /// The configuration is not one.
    #[error("cannot read the configuration")]
    Config(#[from] config::Error),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] plan::Refusal),
    /// A step failed.
    #[error("{step}")]
    Failed {
        /// Which.
        step: String,
        /// Why.
        source: engine::Error,
        /// Where it is written down.
        log: Option<PathBuf>,
        /// What is typed to go on.
        resume: String,
    },
    /// A node is not as it was set up.
    #[error("{0} of {1} steps are not as they were set up")]
    Differs(usize, usize),
    /// Something else of the engine.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A bundle.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// A node of many.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// A file or a program on the way.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
}

impl Error {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Plan(_) => 2,
            _ => 1,
        }
    }

    /// The next step to take.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { log, resume, .. } => {
                let log = log
                    .as_ref()
                    .map_or_else(String::new, |log| format!("see {}; ", log.display()));
                Some(format!(
                    "{log}when the cause is gone, `{resume}` goes on with this step"
                ))
            }
            Self::Differs(..) => {
                Some("run the verb again: it changes what differs, and nothing else".to_owned())
            }
            _ => None,
        }
    }
}

/// The way to call this program again: the words before the verb.
#[derive(Debug, Clone, Copy)]
pub struct Called {
    /// `["setup"]` for `vhive setup`, none for `setup_tool`.
    pub words: &'static [&'static str],
    /// As people type it.
    pub name: &'static str,
}

/// `setup_tool`
pub const SETUP_TOOL: Called = Called {
    words: &[],
    name: "setup_tool",
};

/// `vhive setup`
pub const VHIVE_SETUP: Called = Called {
    words: &["setup"],
    name: "vhive setup",
};

/// Carries out a command line.
pub fn run(setup: &Setup, called: Called) -> Result<(), Error> {
    if setup.verb.needs_sandbox() && setup.sandbox.is_none() {
        let verb = setup.verb.name();
        return Err(Error::Usage(format!(
            "{verb} needs a sandbox: {} {verb} stock-only|gvisor|firecracker",
            called.name
        )));
    }
    if !setup.nodes.is_empty() || setup.verb == Verb::Cluster {
        return fleet(setup, called);
    }
    let reads_only = setup.dry_run || setup.verb == Verb::Check;
    if !reads_only && !rustix::process::geteuid().is_root() {
        return Err(as_root(setup, called));
    }
    match setup.verb {
        Verb::Check => check(setup),
        Verb::Clean => clean(setup, called),
        Verb::Bundle => make_bundle(setup, called),
        _ => one_node(setup, called),
    }
}

/// Runs this again by sudo. It does not come back, unless it cannot be done.
fn as_root(setup: &Setup, called: Called) -> Error {
    let kept: Vec<String> = facts::PROXY_VARIABLES
        .iter()
        .map(|name| (*name).to_owned())
        .chain(["GITHUB_VHIVE_ARGS".to_owned()])
        .collect();
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(source) => return Error::Io("cannot tell where this program is".to_owned(), source),
    };
    let able = Process::new("sudo").args(["-n", "true"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        return Error::Usage(
            "this needs root, or sudo that asks for no password: run it with sudo".to_owned(),
        );
    }
    let mut sudo = Process::new("sudo");
    sudo.arg("-n")
        .arg(format!("--preserve-env={}", kept.join(",")));
    sudo.arg(program).args(called.words).args(setup.words());
    Error::Io("cannot start sudo".to_owned(), sudo.exec())
}

impl Setup {
    /// The words that mean the same.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.verb.name()];
        words.extend(self.sandbox.map(|sandbox| sandbox.name().to_owned()));
        words.extend(self.stargz.clone());
        let switches = [
            ("--dry-run", self.dry_run),
            ("--again", self.again),
            ("--cluster", self.cluster),
            ("--yes", self.yes),
            ("--compat", self.compat),
            ("--kourier", self.kourier),
            ("--nftables", self.nftables),
            ("--force-remote", self.force_remote),
        ];
        let switches = switches.iter().filter(|(_, on)| *on);
        words.extend(switches.map(|(name, _)| (*name).to_owned()));
        let path = |path: &Option<PathBuf>| {
            path.as_ref()
                .map(|path| path.to_string_lossy().into_owned())
        };
        let values = [
            ("--from", self.from.clone()),
            ("--until", self.until.clone()),
            (
                "--output",
                self.output.map(|Format::Json| "json".to_owned()),
            ),
            ("--bundle", path(&self.bundle)),
            ("--master-key", path(&self.master_key)),
            ("--node-ip", self.node_ip.map(|address| address.to_string())),
            ("--setup-configs-dir", path(&self.setup_configs_dir)),
            ("--vhive-repo-dir", path(&self.vhive_repo_dir)),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                words.extend([name.to_owned(), value]);
            }
        }
        let told = [
            (
                "--file",
                self.verb == Verb::Bundle,
                self.file.to_string_lossy().into_owned(),
            ),
            (
                "--vhive-repo-branch",
                self.force_remote,
                self.vhive_repo_branch.clone(),
            ),
            (
                "--vhive-repo-url",
                self.force_remote,
                self.vhive_repo_url.clone(),
            ),
        ];
        for (name, on, value) in told {
            if on {
                words.extend([name.to_owned(), value]);
            }
        }
        words
    }

    fn config(&self) -> Result<Config, Error> {
        let clone;
        let folder = if let Some(folder) = &self.setup_configs_dir {
            Some(folder.clone())
        } else if self.force_remote {
            clone = tempfile::tempdir()
                .map_err(|source| Error::Io("cannot create a folder".to_owned(), source))?;
            let command = plan::Command::words([
                "git",
                "clone",
                "--quiet",
                "--depth=1",
                &format!("--branch={}", self.vhive_repo_branch),
                &self.vhive_repo_url,
                &clone.path().to_string_lossy(),
            ]);
            engine::succeed(&command, &Journal::silent())?;
            Some(clone.path().join("configs/setup"))
        } else {
            self.vhive_repo_dir
                .as_ref()
                .map(|folder| folder.join("configs/setup"))
        };
        Ok(Config::load(folder.as_deref())?)
    }

    fn options(&self, images: Vec<(String, String)>) -> Result<Options, Error> {
        let key = match &self.master_key {
            None => None,
            Some(path) => Some(MasterKey::read(path).map_err(|source| {
                Error::Io(format!("cannot read the key {}", path.display()), source)
            })?),
        };
        Ok(Options {
            nftables: self.nftables,
            stargz: self.stargz.is_some(),
            compat: self.compat,
            kourier: self.kourier,
            // Brackets are how the guide says that a word may be left out.
            vhive_args: match self.verb {
                Verb::StartOnenodeVhiveCluster => std::env::var("GITHUB_VHIVE_ARGS")
                    .unwrap_or_default()
                    .replace(['[', ']', '"'], ""),
                _ => String::new(),
            },
            images,
            master_key: key,
        })
    }

    fn plan(
        &self,
        verb: Verb,
        facts: &Facts,
        config: &Config,
        options: &Options,
    ) -> Result<Plan, Error> {
        Ok(plan::of(&Target {
            verb,
            sandbox: self.sandbox.unwrap_or(Sandbox::StockOnly),
            facts,
            config,
            options,
        })?)
    }

    fn facts(&self) -> Result<Facts, Error> {
        Ok(Facts::read(self.node_ip)?)
    }

    fn journal(&self, facts: &Facts) -> Result<Journal, Error> {
        let owner = (facts.user.uid, facts.user.gid);
        Journal::open(
            &facts.folder,
            &self.verb.name(),
            owner,
            self.output.is_some(),
        )
        .map_err(|source| {
            Error::Io(
                format!("cannot write logs in {}", facts.folder.display()),
                source,
            )
        })
    }
}

fn one_node(setup: &Setup, called: Called) -> Result<(), Error> {
    let (facts, config) = (setup.facts()?, setup.config()?);
    let plan = setup.plan(setup.verb, &facts, &config, &setup.options(Vec::new())?)?;
    if setup.dry_run {
        print!("{}", shown(setup, &plan));
        return Ok(());
    }
    let store = Store::open()?;
    let bundle = match &setup.bundle {
        Some(file) => Some(bundle::unpack(file)?),
        None => None,
    };
    let (images, pins) = match &bundle {
        Some(bundle) => (bundle.images.clone(), bundle.pins(&config.checksums)),
        None => (Vec::new(), config.checksums.clone()),
    };
    let plan = setup.plan(setup.verb, &facts, &config, &setup.options(images)?)?;
    for note in &plan.notes {
        eprintln!("{note}");
    }
    if plan.components.is_empty() {
        return Ok(());
    }
    let host = Host {
        store,
        journal: setup.journal(&facts)?,
        bundle: bundle.map(|bundle| bundle.folder),
        pins,
        yes: setup.yes,
        apt: std::sync::Mutex::new(()),
    };
    let choice = Choice {
        from: setup.from.clone(),
        until: setup.until.clone(),
        again: setup.again,
        asked: setup.words(),
    };
    let summary = engine::run(&host, &plan, &choice)
        .map_err(|failure| failed(failure, &host, setup, called))?;
    let text = match summary.changed {
        0 => "nothing had to be changed".to_owned(),
        1 => "1 step changed something".to_owned(),
        changed => format!("{changed} steps changed something"),
    };
    let text = format!("{} is done: {text}", plan.title);
    host.journal.tell(&engine::Event::Note { text: &text });
    Ok(())
}

fn failed(failure: engine::Failure, host: &Host, setup: &Setup, called: Called) -> Error {
    let again = Setup {
        from: None,
        ..setup.clone()
    };
    let step = failure.to_string();
    let source = match failure {
        engine::Failure::Step { source, .. } | engine::Failure::State(source) => source,
        engine::Failure::NoStep { .. } => return Error::Usage(step),
    };
    Error::Failed {
        step,
        source,
        log: host.journal.logs.as_ref().map(|(common, _)| common.clone()),
        resume: format!("{} {}", called.name, again.words().join(" ")),
    }
}

/// A dry run on this host.
fn shown(setup: &Setup, plan: &Plan) -> String {
    let host = Host::reading();
    let text = dry_run::plan(
        plan,
        &View {
            file: &|path: &Path| std::fs::read_to_string(path).ok(),
            holds: &|step| engine::holds(&host, step).unwrap_or(false),
        },
    );
    if setup.output.is_some() {
        let json = serde_json::to_string_pretty(plan).unwrap_or_default();
        return format!("{json}\n");
    }
    text
}

fn check(setup: &Setup) -> Result<(), Error> {
    let host = Host::reading();
    let runs = State::read()?.runs;
    if runs.is_empty() {
        return Err(Error::Usage(
            "nothing was set up on this node, or only root can see it: there is nothing to compare with".to_owned(),
        ));
    }
    let (mut steps, mut differ) = (0, 0);
    for (title, run) in runs {
        let words = std::iter::once("setup_tool".to_owned()).chain(run.asked);
        let Ok(asked) = SetupTool::try_parse_from(words) else {
            return Err(Error::Usage(format!(
                "{title} was set up by another version: run it again"
            )));
        };
        let asked = asked.setup;
        if !asked.verb.is_plan() {
            continue;
        }
        let asked = Setup {
            node_ip: asked.node_ip.or(setup.node_ip),
            ..asked
        };
        let plan = asked.plan(
            asked.verb,
            &asked.facts()?,
            &asked.config()?,
            &asked.options(Vec::new())?,
        )?;
        steps += plan.steps().count();
        for step in engine::differences(&host, &plan)? {
            differ += 1;
            println!(
                "{title}: {}: {}",
                step.name,
                if run.finished {
                    "is no longer so"
                } else {
                    "is not done"
                }
            );
        }
    }
    if differ > 0 {
        return Err(Error::Differs(differ, steps));
    }
    println!("all {steps} steps are as they were set up");
    Ok(())
}

fn clean(setup: &Setup, called: Called) -> Result<(), Error> {
    let extent = if setup.cluster {
        Extent::Cluster
    } else {
        Extent::All
    };
    if setup.dry_run {
        for line in engine::restores(&State::read().unwrap_or_default(), extent) {
            println!("{line}");
        }
        return Ok(());
    }
    if State::read()?.runs.is_empty() {
        eprintln!("nothing was set up on this node");
        return Ok(());
    }
    let facts = setup.facts()?;
    let host = Host {
        store: Store::open()?,
        journal: setup.journal(&facts)?,
        ..Host::reading()
    };
    let undone =
        engine::clean(&host, extent).map_err(|failure| failed(failure, &host, setup, called))?;
    let left = match extent {
        Extent::All => "nothing of the set-up is left",
        Extent::Cluster => "the node is as before there was a cluster",
    };
    eprintln!("{undone} changes undone; {left}");
    Ok(())
}

fn make_bundle(setup: &Setup, called: Called) -> Result<(), Error> {
    let (facts, config) = (setup.facts()?, setup.config()?);
    let options = Options {
        master_key: Some(MasterKey {
            address: String::new(),
            port: String::new(),
            token: String::new(),
            hash: String::new(),
        }),
        ..setup.options(Vec::new())?
    };
    let sandbox = setup.sandbox.unwrap_or(Sandbox::Firecracker);
    let setup = &Setup {
        sandbox: Some(sandbox),
        ..setup.clone()
    };
    let verbs = [
        Verb::SetupNode,
        Verb::CreateMultinodeCluster,
        Verb::JoinCluster,
    ];
    let plans = verbs
        .iter()
        .map(|verb| setup.plan(*verb, &facts, &config, &options));
    let plans = plans.collect::<Result<Vec<_>, _>>()?;
    if setup.dry_run {
        let packages: BTreeSet<&str> = plans.iter().flat_map(Plan::packages).collect();
        let addresses: BTreeSet<&str> = plans
            .iter()
            .flat_map(Plan::fetches)
            .map(|fetch| fetch.url.as_str())
            .collect();
        let lines = packages.iter().map(|name| format!("package {name}"));
        for line in lines.chain(addresses.iter().map(|url| format!("download {url}"))) {
            println!("{line}");
        }
        return Ok(());
    }
    let host = Host {
        store: Store::open()?,
        journal: setup.journal(&facts)?,
        pins: config.checksums.clone(),
        ..Host::reading()
    };
    // The program that pulls images is vhive itself, where it is this one.
    let vhive = if called.words.is_empty() {
        PathBuf::from("vhive")
    } else {
        facts.program.clone()
    };
    let made = bundle::make(&host, &plans, &config, &vhive, &setup.file)?;
    eprintln!(
        "{}: {} files, {} packages, {} images; use it with --bundle {}",
        setup.file.display(),
        made.files,
        made.packages,
        made.images,
        setup.file.display()
    );
    Ok(())
}

fn fleet(setup: &Setup, called: Called) -> Result<(), Error> {
    if !matches!(setup.verb, Verb::Cluster | Verb::Check | Verb::Clean) {
        return Err(Error::Usage(
            "--nodes goes with cluster, check and clean".to_owned(),
        ));
    }
    if setup.nodes.is_empty() {
        return Err(Error::Usage(format!(
            "cluster needs nodes: {} cluster {} --nodes USER@MASTER,USER@WORKER",
            called.name,
            setup.sandbox.unwrap_or(Sandbox::Firecracker).name()
        )));
    }
    let program = std::env::current_exe()
        .map_err(|source| Error::Io("cannot tell where this program is".to_owned(), source))?;
    let fleet = Fleet::new(setup, called, &program)?;
    let stages = cluster::stages(&fleet);
    if setup.dry_run {
        print!("{}", cluster::shown(&stages));
        return Ok(());
    }
    cluster::run(&stages)?;
    if setup.verb == Verb::Cluster {
        print!("{}", cluster::next(&fleet));
    }
    Ok(())
}

/// Flags as Go writes them, `-name` and `-name=true`, in the words of this command line.
pub fn go_flags(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let command = SetupTool::command();
    let is_long = |name: &str| {
        command
            .get_arguments()
            .any(|argument| argument.get_long() == Some(name))
    };
    words
        .into_iter()
        .filter_map(|word| {
            let Some(flag) = word.to_str().and_then(|word| word.strip_prefix('-')) else {
                return Some(word);
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            match value {
                _ if !is_long(name) => Some(word),
                // Go writes what a switch is.
                Some("true") | None => Some(format!("--{name}").into()),
                Some("false") => None,
                Some(value) => Some(format!("--{name}={value}").into()),
            }
        })
        .collect()
}

/// `setup_tool`, from its arguments to its exit code.
pub fn setup_tool() -> u8 {
    let parsed = SetupTool::parse_from(go_flags(std::env::args_os()));
    match run(&parsed.setup, SETUP_TOOL) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            if let Some(hint) = error.hint() {
                eprintln!("  next: {hint}");
            }
            error.code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Setup {
        let words = ["setup_tool"].iter().chain(words).map(OsString::from);
        SetupTool::try_parse_from(go_flags(words))
            .expect("the words fit")
            .setup
    }

    #[test]
    fn flags_are_understood_as_go_writes_them() {
        let setup = parsed(&[
            "-setup-configs-dir",
            "x",
            "--nftables=true",
            "-vhive-repo-branch=b",
            "setup_node",
            "stock-only",
            "use-stargz",
        ]);
        assert_eq!(setup.setup_configs_dir, Some(PathBuf::from("x")));
        assert_eq!(setup.vhive_repo_branch, "b");
        assert!(setup.nftables && setup.stargz.is_some());
        assert!(!parsed(&["-nftables=false", "setup_system"]).nftables);
    }

    #[test]
    fn the_words_of_a_command_line_mean_it() {
        for words in [
            &[
                "setup_node",
                "firecracker",
                "--from",
                "runc/binary",
                "--node-ip",
                "10.0.0.1",
            ][..],
            &[
                "setup_node",
                "stock-only",
                "use-stargz",
                "--yes",
                "--kourier",
                "-o",
                "json",
            ],
            &[
                "setup_master_node",
                "gvisor",
                "--force-remote",
                "--vhive-repo-branch",
                "b",
                "--bundle",
                "f",
            ],
        ] {
            let setup = parsed(words);
            let again = setup.words();
            let again: Vec<&str> = again.iter().map(String::as_str).collect();
            assert_eq!(format!("{:?}", parsed(&again)), format!("{setup:?}"));
        }
    }
}
