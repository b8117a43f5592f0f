//! The engine: it does the steps of a plan, notes them, goes on at one that failed, and undoes them.
//!
//! ```text
//! step ── done by the run that failed, and still the same ──▶ done before
//!   │
//!   ├─ its check holds ──▶ already so
//!   ▼
//! noted as begun, with how it is undone ──▶ act ──▶ its check holds ──▶ noted as done
//!                                            └─▶ failed: the plan ends, and begins here the next time
//! ```
//!
//! What is noted is on the disk before anything is changed, so that a run that is killed leaves nothing that is not undone.

mod check;
mod error;
mod fetch;
pub(crate) mod file;
mod journal;
mod master_key;
mod packages;
mod process;
mod schedule;
mod state;
mod undo;
mod unit;

pub(crate) use fetch::verified;
pub(crate) use process::succeed;

pub use error::Error;
pub use journal::{Event, Journal, Outcome};
pub use master_key::MasterKey;
pub use schedule::{Choice, Failure, Summary, run};
pub use state::{Restore, Run, State, Store};
pub use undo::{Extent, clean, restores};

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::plan::{Action, Command, Plan, Step, Undo};

/// The host, as steps see it.
#[derive(Debug)]
pub struct Host {
    /// What has been done here.
    pub store: Store,
    /// Where it is told of.
    pub journal: Journal,
    /// A bundle, unpacked.
    pub bundle: Option<PathBuf>,
    /// Checksums that are known beforehand, by address.
    pub pins: serde_json::Value,
    /// Whether questions are answered with yes.
    pub yes: bool,
    /// apt has one lock for all: whoever has this may use it.
    pub apt: Mutex<()>,
}

impl Host {
    /// To look, and change nothing.
    pub fn reading() -> Self {
        Self {
            store: Store::reading(),
            journal: Journal::silent(),
            bundle: None,
            pins: serde_json::Value::Null,
            yes: false,
            apt: Mutex::new(()),
        }
    }
}

/// Whether what a step is for is so already. Nothing is changed.
pub fn holds(host: &Host, step: &Step) -> Result<bool, Error> {
    Ok(match &step.action {
        Action::Write {
            path,
            content,
            mode,
        } => file::holds(path, content.as_bytes(), *mode, None),
        Action::Copy {
            from,
            to,
            mode,
            owner,
        } => std::fs::read(from).is_ok_and(|content| file::holds(to, &content, *mode, *owner)),
        Action::Join { folder, to } => {
            file::joined(folder).is_ok_and(|content| file::holds(to, &content, 0o644, None))
        }
        Action::CommentOut { path, field } => file::has_no_line(path, field),
        Action::Fetch(fetch) => fetch::holds(host, fetch),
        Action::Packages { names, hold } => packages::holds(host, names, *hold)?,
        Action::Unit { name, reads } => unit::holds(host, name, reads),
        Action::Run { check, .. } | Action::Wait { check, .. } => check::holds(host, check),
        Action::Apply { folder, check } => match check {
            Some(check) => check::holds(host, check),
            None => {
                folder.exists()
                    && process::succeeds(&kustomize("diff --server-side", folder), &host.journal)
            }
        },
        Action::MasterKey { path, owner } => master_key::holds(host, path, *owner),
        Action::Ask { .. } => false,
    })
}

/// Does what a step is for.
fn act(host: &Host, step: &Step) -> Result<(), Error> {
    match &step.action {
        Action::Write {
            path,
            content,
            mode,
        } => file::write(&host.store, path, content.as_bytes(), *mode, None),
        Action::Copy {
            from,
            to,
            mode,
            owner,
        } => {
            let content = std::fs::read(from).map_err(Error::file("read", from))?;
            file::write(&host.store, to, &content, *mode, *owner)
        }
        Action::Join { folder, to } => {
            let content = file::joined(folder).map_err(Error::file("read", folder))?;
            file::write(&host.store, to, &content, 0o644, None)
        }
        Action::CommentOut { path, field } => file::comment_out(&host.store, path, field),
        Action::Fetch(fetch) => fetch::act(host, fetch),
        Action::Packages { names, hold } => {
            let _one = host.apt.lock().unwrap_or_else(PoisonError::into_inner);
            packages::act(host, names, *hold)
        }
        Action::Unit { name, reads } => unit::act(host, name, reads),
        Action::Run {
            command,
            check,
            undo,
            ..
        } => {
            if let Undo::By(by) = undo {
                host.store.restore_later(Restore::Command {
                    step: step.name.clone(),
                    command: by.clone(),
                })?;
            }
            succeed(command, &host.journal)?;
            if check::holds(host, check) {
                return Ok(());
            }
            Err(Error::NoEffect {
                command: command.to_string(),
            })
        }
        Action::Apply { folder, .. } => {
            host.store.restore_later(Restore::Objects(folder.clone()))?;
            let apply = kustomize("apply --server-side --force-conflicts", folder);
            succeed(&apply, &host.journal).map(|_| ())
        }
        Action::Wait {
            what,
            check,
            timeout,
        } => check::wait(host, what, check, *timeout),
        Action::MasterKey { path, owner } => master_key::act(host, path, *owner),
        Action::Ask { question } => ask(host, question),
    }
}

/// `kubectl VERB -k FOLDER`
fn kustomize(verb: &str, folder: &std::path::Path) -> Command {
    let mut command = Command::kubectl(verb);
    command.words.push("-k".to_owned());
    command.words.push(folder.to_string_lossy().into_owned());
    command
}

/// What a step has to say whenever it is come by.
fn tell(host: &Host, step: &Step) {
    if let Action::MasterKey { path, .. } = &step.action {
        master_key::tell(host, path);
    }
}

/// Asks until the answer is yes.
fn ask(host: &Host, question: &str) -> Result<(), Error> {
    if host.yes {
        return Ok(());
    }
    let mut prompt = question;
    loop {
        eprint!("{prompt}");
        // The prompt is for people: it does not matter to a closed stderr.
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        match (read, answer.trim()) {
            (Ok(0) | Err(_), _) => return Err(Error::NoAnswer),
            (Ok(_), "y" | "Y") => return Ok(()),
            (Ok(_), "n" | "N") => prompt = question,
            (Ok(_), _) => prompt = "Please answer yes or no (y/n): ",
        }
    }
}

/// What of a plan is not so on this host.
pub fn differences<'a>(host: &Host, plan: &'a Plan) -> Result<Vec<&'a Step>, Error> {
    let lasting = plan
        .components
        .iter()
        .filter(|component| !component.takes_away());
    let steps = lasting.flat_map(|component| &component.steps);
    let mut differences = Vec::new();
    for step in steps {
        // A key is good for a day, and a question for once.
        if matches!(step.action, Action::MasterKey { .. } | Action::Ask { .. }) {
            continue;
        }
        if !holds(host, step)? {
            differences.push(step);
        }
    }
    Ok(differences)
}
