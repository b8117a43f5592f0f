//! A snapshot being written. Dropping it removes what was written; a process that dies leaves a folder by whose name the
//! next one knows it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::manifest::{Manifest, Part};
use super::{MANIFEST, MEMORY, STATE};

/// How folders of drafts begin.
pub(super) const PREFIX: &str = ".draft-";

/// The folder of a snapshot that is not finished.
#[derive(Debug)]
pub struct Draft {
    pub(super) id: String,
    pub(super) key: String,
    /// `None` once it has become a snapshot.
    folder: Option<PathBuf>,
}

/// The steps of making a draft a snapshot. A process that dies between any two leaves a draft, or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    SyncState,
    SyncMemory,
    WriteManifest,
    SyncFolder,
    Rename,
    SyncParent,
}

pub(super) const STEPS: [Step; 6] = [
    Step::SyncState,
    Step::SyncMemory,
    Step::WriteManifest,
    Step::SyncFolder,
    Step::Rename,
    Step::SyncParent,
];

impl Draft {
    pub(super) fn create(directory: &Path, key: &str, id: &str) -> io::Result<Self> {
        let folder = directory.join(format!("{PREFIX}{id}"));
        // Guest memory is nobody else's business.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self {
            id: id.to_owned(),
            key: key.to_owned(),
            folder: Some(folder),
        })
    }

    fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or(Path::new(""))
    }

    /// Where the devices' state is to be written.
    pub fn state(&self) -> PathBuf {
        self.folder().join(STATE)
    }

    /// Where the guest's memory is to be written.
    pub fn memory(&self) -> PathBuf {
        self.folder().join(MEMORY)
    }

    /// Sizes and checksums of what was written. Blocks: it reads all of it.
    pub(super) fn parts(&self) -> io::Result<(Part, Part)> {
        Ok((Part::of(&self.state())?, Part::of(&self.memory())?))
    }

    /// Does one step of becoming the snapshot in the folder `target`.
    pub(super) fn perform(
        &mut self,
        step: Step,
        manifest: &Manifest,
        target: &Path,
    ) -> io::Result<()> {
        let parent = target.parent().unwrap_or(target);
        match step {
            Step::SyncState => File::open(self.state())?.sync_all(),
            Step::SyncMemory => File::open(self.memory())?.sync_all(),
            Step::WriteManifest => {
                let path = self.folder().join(MANIFEST);
                let mut file = File::options()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)?;
                file.write_all(&serde_json::to_vec_pretty(manifest)?)?;
                file.sync_all()
            }
            Step::SyncFolder => File::open(self.folder())?.sync_all(),
            Step::Rename => {
                fs::create_dir_all(parent)?;
                fs::rename(self.folder(), target)?;
                self.folder = None;
                Ok(())
            }
            Step::SyncParent => {
                File::open(parent)?.sync_all()?;
                // The parent itself may be new.
                match parent.parent() {
                    Some(directory) => File::open(directory)?.sync_all(),
                    None => Ok(()),
                }
            }
        }
    }

    /// As a process that is killed leaves it.
    #[cfg(test)]
    pub(super) fn abandon(mut self) {
        self.folder = None;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder
            && let Err(error) = fs::remove_dir_all(folder)
        {
            warn!(%error, folder = %folder.display(), "cannot remove an unfinished snapshot");
        }
    }
}
