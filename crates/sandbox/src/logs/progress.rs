//! A log as its readers hold it, and how who writes it tells them that there is more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

/// A function's log: where it is, and whether there will be more. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    /// Changes with every write; closed when nobody will write any more.
    pub(super) changes: watch::Receiver<()>,
}

/// Held by who writes a log. The log has ended when all clones are gone.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<watch::Sender<()>>);

impl Log {
    /// A log that will be written at `path`, until the last clone of its progress is dropped.
    pub(crate) fn being_written(path: PathBuf) -> (Self, Progress) {
        let (sender, changes) = watch::channel(());
        (Self { path, changes }, Progress(Arc::new(sender)))
    }

    /// Where the newest entries are. There is no file until the instance has its network.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Progress {
    /// Wakes those who wait for more.
    pub(super) fn made(&self) {
        self.0.send_replace(());
    }
}
