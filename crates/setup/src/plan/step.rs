//! A step: what it is for, what it does, and how one sees that it is done.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `COMPONENT/STEP`; no two steps of a plan have the same.
    pub name: String,
    /// Why it is done.
    pub why: &'static str,
    /// What is done.
    pub action: Action,
}

impl Step {
    pub(crate) fn new(name: &'static str, why: &'static str, action: Action) -> Self {
        Self {
            name: name.to_owned(),
            why,
            action,
        }
    }
}

/// What a step does. All but [`Action::Run`], [`Action::Apply`] and [`Action::Wait`] say what is to be so, and so are their own check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A file has this content and mode. Undone by what was there before.
    Write {
        /// Where.
        path: PathBuf,
        /// All of it.
        content: String,
        /// Permissions.
        mode: u32,
    },
    /// A file is a copy of another. Undone by what was there before.
    Copy {
        /// The other.
        from: PathBuf,
        /// Where.
        to: PathBuf,
        /// Permissions.
        mode: u32,
        /// User and group, if not root.
        owner: Option<(u32, u32)>,
    },
    /// A file is made of those of a folder, in the order of their names. Undone by what was there before.
    Join {
        /// The folder.
        folder: PathBuf,
        /// The file.
        to: PathBuf,
    },
    /// Lines of a file are comments. Undone by making them lines again.
    CommentOut {
        /// The file; one that is missing has no such lines.
        path: PathBuf,
        /// What a line is to be commented out for: a field of it.
        field: &'static str,
    },
    /// Files from an address, verified. Undone by what was there before.
    Fetch(Fetch),
    /// Packages are installed. Undone by removing those that were not.
    Packages {
        /// Names, or `NAME=VERSION`.
        names: Vec<String>,
        /// Whether upgrades leave them alone.
        hold: bool,
    },
    /// A unit of systemd is enabled, runs, and has read its files. Undone by what it was before.
    Unit {
        /// Its name, with `.service`.
        name: &'static str,
        /// What it reads when it starts: it is restarted after they have changed.
        reads: Vec<PathBuf>,
    },
    /// A command.
    Run {
        /// The command.
        command: Command,
        /// What shows that it has been run.
        check: Check,
        /// What undoes it.
        undo: Undo,
        /// What clears up after it has failed half-way, before it is run again.
        recover: Option<Command>,
    },
    /// Objects of a folder with a kustomization.yaml are in the cluster.
    Apply {
        /// The folder.
        folder: PathBuf,
        /// What shows it, if not that `kubectl diff` finds no difference.
        check: Option<Check>,
    },
    /// Something will be so before long.
    Wait {
        /// What is waited for, to be read by people.
        what: &'static str,
        /// What shows it.
        check: Check,
        /// How long.
        timeout: Duration,
    },
    /// The key by which workers join is in masterKey.yaml.
    MasterKey {
        /// The file.
        path: PathBuf,
        /// User and group.
        owner: (u32, u32),
    },
    /// Somebody says yes.
    Ask {
        /// The question.
        question: &'static str,
    },
}

impl Action {
    /// Whether the host is another afterwards: to wait and to ask change nothing.
    pub fn changes(&self) -> bool {
        !matches!(self, Self::Wait { .. } | Self::Ask { .. })
    }
}

/// Files from an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The address.
    pub url: String,
    /// Where its checksum is published.
    pub published: Published,
    /// What becomes of it.
    pub files: Vec<Fetched>,
}

/// A file that comes with a download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Which file of the archive; none: the download is the file.
    pub member: Option<String>,
    /// Where it goes.
    pub to: PathBuf,
    /// Permissions.
    pub mode: u32,
}

/// Where a checksum is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Published {
    /// At an address: alone, or in a list that has the file's name beside it. SHA-256 or SHA-512, told apart by length.
    At(String),
    /// Nowhere. The first download is trusted for its TLS connection, and pinned.
    Nowhere,
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

impl Command {
    /// A command line, split at spaces: no word may have one.
    pub fn line(line: &str) -> Self {
        Self::words(line.split_whitespace())
    }

    /// A command of words.
    pub fn words<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            input: None,
        }
    }

    /// A line of the shell, where there is a pipe in it.
    pub fn shell(line: &str) -> Self {
        Self::words(["sh", "-ec", line])
    }

    /// The same, reading this.
    pub fn reading(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }

    /// `kubectl`, as the administrator.
    pub(crate) fn kubectl(line: &str) -> Self {
        let kubectl = ["kubectl", "--kubeconfig", crate::paths::ADMIN_CONF];
        Self::words(kubectl.into_iter().chain(line.split_whitespace()))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+~".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                f.write_str(word)?;
            } else {
                write!(f, "'{}'", word.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// How one sees that something is so. A check changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A command succeeds.
    Succeeds(Command),
    /// A command succeeds, and prints this.
    Prints {
        /// The command.
        command: Command,
        /// Part of what it prints.
        text: String,
    },
    /// A command succeeds, and prints this no more.
    PrintsNot {
        /// The command.
        command: Command,
        /// What it no longer prints.
        text: String,
    },
    /// There is such a file, socket or folder.
    Exists(PathBuf),
    /// There is none.
    Absent(PathBuf),
    /// A file has this in it.
    Contains {
        /// The file.
        path: PathBuf,
        /// Part of it, without white space round it.
        text: String,
    },
}

/// How a command is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// By a command.
    By(Command),
    /// It left nothing: what it made goes with the files that other steps remove.
    Nothing,
    /// It goes with the cluster, when that is reset.
    WithCluster,
}
