//! What has been done on this node: kept in one file, written before and after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::paths;
use crate::plan::Command;

/// What has been done on this node.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What was asked for, by the title of its plan.
    pub runs: BTreeMap<String, Run>,
    /// Steps that were begun, and neither ended nor failed cleanly since.
    pub begun: BTreeSet<String>,
    /// How everything is undone, oldest first.
    pub restores: Vec<Restore>,
    /// What each unit read when it was last started: a digest.
    pub read: BTreeMap<String, String>,
    /// What each address has brought: the SHA-256 of each file.
    pub fetched: BTreeMap<String, BTreeMap<PathBuf, String>>,
}

/// How far a plan has come.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The words after `vhive setup`, to make the plan again.
    pub asked: Vec<String>,
    /// Its steps that are done, each with a digest of what it was.
    pub done: BTreeMap<String, String>,
    /// Whether all are.
    pub finished: bool,
}

/// How one thing is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restore {
    /// A file becomes what it was.
    File {
        /// The file.
        path: PathBuf,
        /// Its content before, in a file of [`paths::SAVED`]; none: there was no file.
        was: Option<PathBuf>,
    },
    /// A folder goes, if nobody has put anything into it.
    Folder(PathBuf),
    /// Lines that were commented out become lines.
    Lines(PathBuf),
    /// Packages that were not there go.
    Packages(Vec<String>),
    /// A unit becomes what it was: not enabled, and stopped.
    Unit(String),
    /// A command undoes a step.
    Command {
        /// The step.
        step: String,
        /// The command.
        command: Command,
    },
    /// Objects go out of the cluster, unless the cluster goes.
    Objects(PathBuf),
}

/// The file, and what is in it.
#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    /// Locked for as long as this lives; none: nothing is written.
    lock: Option<File>,
}

impl Store {
    /// Opens the file of this node, and keeps others out.
    pub fn open() -> Result<Self, Error> {
        fs::create_dir_all(paths::SAVED).map_err(Error::file("create", paths::SAVED))?;
        fs::set_permissions(paths::HOME, fs::Permissions::from_mode(0o700))
            .map_err(Error::file("protect", paths::HOME))?;
        let lock = Path::new(paths::HOME).join("running");
        let file = File::create(&lock).map_err(Error::file("create", &lock))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Error::Busy)?;
        Ok(Self {
            state: Mutex::new(State::read()?),
            lock: Some(file),
        })
    }

    /// To look, and change nothing. Who may not look sees a node on which nothing was done.
    pub fn reading() -> Self {
        Self {
            state: Mutex::new(State::read().unwrap_or_default()),
            lock: None,
        }
    }

    /// What is in it now.
    pub fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and writes it if that made a difference.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = self.look();
        let before = state.clone();
        let result = change(&mut state);
        if *state != before && self.lock.is_some() {
            write(Path::new(paths::STATE), &*state)?;
        }
        Ok(result)
    }

    /// Notes how something is undone, unless an older note says it already: that one knows what was there at first.
    pub fn restore_later(&self, restore: Restore) -> Result<(), Error> {
        self.change(|state| {
            if !state
                .restores
                .iter()
                .any(|old| old.is_of_the_same(&restore))
            {
                state.restores.push(restore);
            }
        })
    }
}

impl State {
    /// As it is on the disk; nothing, where nothing was done yet.
    pub fn read() -> Result<Self, Error> {
        let path = Path::new(paths::STATE);
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::State {
                path: path.to_owned(),
                source,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::file("read", path)(source)),
        }
    }
}

impl Restore {
    /// Whether both are of the same thing, whatever they would make of it.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path, .. }, Self::File { path: other, .. }) => path == other,
            (Self::Command { step, .. }, Self::Command { step: other, .. }) => step == other,
            _ => self == other,
        }
    }
}

/// Writes JSON so that the file is whole at any time.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let new = path.with_extension("new");
    let bytes = serde_json::to_vec_pretty(value).map_err(|source| Error::State {
        path: path.to_owned(),
        source,
    })?;
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(Error::file("write", path))
}
