//! Why a step failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a step failed.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// To which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program is not there, or may not be run.
    #[error("cannot start `{command}`")]
    Start {
        /// The command.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed ({status}){}", said(output))]
    Command {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines that it printed.
        output: String,
    },
    /// It has no effect that shows.
    #[error("`{command}` ended well, and has not done what it was run for")]
    NoEffect {
        /// The command.
        command: String,
    },
    /// A download is not what it was before, or what was published.
    #[error(
        "{url} has the SHA-256 {found}, and {expected} was {by}; when the change is meant, remove the address from {}",
        crate::paths::LOCK
    )]
    Checksum {
        /// The address.
        url: String,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
        /// Who says so.
        by: &'static str,
    },
    /// The list does not have the file.
    #[error("{list} has no checksum of {file}")]
    Unpublished {
        /// The address of the list.
        list: String,
        /// The name of the file.
        file: String,
    },
    /// An archive does not have the file.
    #[error("{url} has no {member} in it")]
    NoMember {
        /// The address.
        url: String,
        /// The file.
        member: String,
    },
    /// The bundle does not have it.
    #[error(
        "the bundle has no {url}: it was made for another verb, sandbox or version; make it anew with `vhive setup bundle`"
    )]
    NotInBundle {
        /// The address.
        url: String,
    },
    /// It did not come to be so.
    #[error("waited {seconds} s for {what}; the last look: {last}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// What the check said last.
        last: String,
    },
    /// kubeadm said something else.
    #[error("kubeadm printed no command to join with, but {0:?}")]
    NoJoinCommand(String),
    /// There is nobody to ask.
    #[error("nobody answered: run it in a terminal, or with --yes once it is so")]
    NoAnswer,
    /// What is known cannot be kept.
    #[error("{} is not as it was written", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Another one runs.
    #[error("another set-up runs on this node: wait until it has ended")]
    Busy,
}

impl Error {
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

fn said(output: &str) -> String {
    let output = output.trim_end();
    if output.is_empty() {
        ", and said nothing".to_owned()
    } else {
        format!(":\n    {}", output.replace('\n', "\n    "))
    }
}
