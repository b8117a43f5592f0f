//! The snapshots of a node: which there are, in memory; their files, on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use memory::working_set::TEMPORARY;
use tracing::{info, warn};
use uuid::Uuid;

use super::draft::{self, Draft, STEPS};
use super::eviction::{self, Held};
use super::fit::Origin;
use super::manifest::{FORMAT, Manifest};
use super::snapshot::{Damage, Snapshot};
use crate::instance::usable;

/// A snapshot cannot be made, found or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of all snapshots cannot be made or read.
    #[error("cannot {step} the folder of snapshots {}", path.display())]
    Directory {
        /// What was being done.
        step: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A snapshot cannot be written.
    #[error("cannot write the snapshot of {key}")]
    Write {
        /// Whose it is.
        key: String,
        /// Why not.
        source: io::Error,
    },
    /// A snapshot cannot be removed.
    #[error("cannot remove snapshot {id}")]
    Remove {
        /// Which.
        id: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no such snapshot.
    #[error("there is no snapshot {id}")]
    Unknown {
        /// Which was asked for.
        id: String,
    },
    /// A key that cannot name a folder.
    #[error(
        "{key:?} cannot be the key of a snapshot: letters, digits, dots, dashes and underscores can"
    )]
    Key {
        /// The key.
        key: String,
    },
    /// What is on disk is no snapshot that can be used.
    #[error("snapshot {} is not usable", folder.display())]
    Unusable {
        /// Its folder.
        folder: PathBuf,
        /// Why not.
        source: Damage,
    },
}

/// All snapshots of a node. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Snapshots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    /// What all together may take on disk, in bytes.
    space: u64,
    by_id: Mutex<BTreeMap<String, Arc<Snapshot>>>,
}

impl Snapshots {
    /// Finds the snapshots in `directory`, which is made if need be. What a dead process left unfinished is removed; so is,
    /// with a warning, what is no whole snapshot. Blocks.
    pub fn open(directory: &Path, space: u64) -> Result<Self, Error> {
        let failed = |step| {
            move |source| Error::Directory {
                step,
                path: directory.to_owned(),
                source,
            }
        };
        fs::create_dir_all(directory).map_err(failed("make"))?;
        let mut by_id = BTreeMap::new();
        for key in folders(directory).map_err(failed("read"))? {
            if name(&key).starts_with(draft::PREFIX) {
                remove_leftover(&key);
                continue;
            }
            for folder in folders(&key).map_err(failed("read"))? {
                let id = name(&folder);
                match Snapshot::load(&folder, &id) {
                    Ok(snapshot) => {
                        remove_temporaries(&folder);
                        by_id.insert(id, Arc::new(snapshot));
                    }
                    Err(source) => {
                        let error = Error::Unusable {
                            folder: folder.clone(),
                            source,
                        };
                        let error = crate::chain(&error);
                        warn!(error, "removed a snapshot");
                        remove_leftover(&folder);
                    }
                }
            }
            // Fails as long as there is a snapshot in it.
            let _ = fs::remove_dir(&key);
        }
        Ok(Self(Arc::new(Inner {
            directory: directory.to_owned(),
            space,
            by_id: Mutex::new(by_id),
        })))
    }

    /// The newest snapshot of `key`.
    pub fn find(&self, key: &str) -> Option<Arc<Snapshot>> {
        let by_id = self.by_id();
        let of_key = by_id.values().filter(|it| it.manifest.key == key);
        of_key.max_by_key(|it| it.manifest.created).cloned()
    }

    /// The snapshot of that id.
    pub fn get(&self, id: &str) -> Result<Arc<Snapshot>, Error> {
        let found = self.by_id().get(id).cloned();
        found.ok_or_else(|| Error::Unknown { id: id.to_owned() })
    }

    /// All of them, by id.
    pub fn list(&self) -> Vec<Arc<Snapshot>> {
        self.by_id().values().cloned().collect()
    }

    /// Begins a snapshot of `key`. Blocks for a moment.
    pub fn draft(&self, key: &str) -> Result<Draft, Error> {
        if !usable(key) {
            return Err(Error::Key {
                key: key.to_owned(),
            });
        }
        let id = Uuid::new_v4().simple().to_string();
        let id = id.get(..12).unwrap_or(&id);
        Draft::create(&self.0.directory, key, id).map_err(|source| Error::Write {
            key: key.to_owned(),
            source,
        })
    }

    /// Makes a draft a snapshot, which survives from then on whatever happens to the process or the machine; then makes
    /// room. Blocks: what was written is read once and brought to the disk.
    pub fn commit(
        &self,
        mut draft: Draft,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Arc<Snapshot>, Error> {
        let key = draft.key.clone();
        let write = |source| Error::Write {
            key: key.clone(),
            source,
        };
        let (state, memory) = draft.parts().map_err(write)?;
        let manifest = Manifest {
            format: FORMAT,
            id: draft.id.clone(),
            key: key.clone(),
            created: now,
            origin,
            state,
            memory,
        };
        let folder = self.0.directory.join(&key).join(&manifest.id);
        for step in STEPS {
            draft.perform(step, &manifest, &folder).map_err(write)?;
        }
        let id = manifest.id.clone();
        let snapshot = Snapshot::load(&folder, &id)
            .map(Arc::new)
            .map_err(|source| Error::Unusable { folder, source })?;
        self.by_id().insert(id.clone(), snapshot.clone());
        self.make_room(&id);
        Ok(snapshot)
    }

    /// Removes a snapshot. Instances that run from it go on: their files are open. Blocks.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        match self.withdraw(id) {
            Some(snapshot) => erase(&snapshot),
            None => Err(Error::Unknown { id: id.to_owned() }),
        }
    }

    /// Removes a snapshot: nothing finds it any more from now on, and its files go in the background.
    pub(crate) fn discard(&self, id: &str) {
        // Somebody else may have been faster.
        let Some(snapshot) = self.withdraw(id) else {
            return;
        };
        tokio::task::spawn_blocking(move || {
            if let Err(error) = erase(&snapshot) {
                let error = crate::chain(&error);
                warn!(error, "cannot remove a snapshot");
            }
        });
    }

    fn withdraw(&self, id: &str) -> Option<Arc<Snapshot>> {
        self.by_id().remove(id)
    }

    /// Removes all snapshots of `key`; what cannot be removed is logged. Blocks.
    pub fn remove_all(&self, key: &str) {
        let ids: Vec<String> = self
            .list()
            .iter()
            .filter(|it| it.manifest.key == key)
            .map(|it| it.manifest.id.clone())
            .collect();
        for id in ids {
            self.remove_logged(&id);
        }
    }

    fn make_room(&self, newest: &str) {
        let held = self
            .list()
            .iter()
            .map(|it| Held {
                id: it.manifest.id.clone(),
                bytes: it.on_disk(),
                last_used: it.last_used(),
            })
            .collect();
        for id in eviction::plan(held, newest, self.0.space) {
            info!(
                snapshot = id,
                "evicted: snapshots take more room than they may"
            );
            self.remove_logged(&id);
        }
    }

    fn remove_logged(&self, id: &str) {
        if let Err(error) = self.remove(id) {
            let error = crate::chain(&error);
            warn!(error, "cannot remove a snapshot");
        }
    }

    fn by_id(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Snapshot>>> {
        self.0.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn erase(snapshot: &Snapshot) -> Result<(), Error> {
    fs::remove_dir_all(&snapshot.folder).map_err(|source| Error::Remove {
        id: snapshot.manifest.id.clone(),
        source,
    })?;
    // Fails as long as there are others of the same key.
    let _ = snapshot.folder.parent().map(fs::remove_dir);
    Ok(())
}

fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn remove_leftover(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        warn!(%error, folder = %folder.display(), "cannot remove what is left of a snapshot");
    }
}

/// Removes working sets that a killed process was writing.
fn remove_temporaries(folder: &Path) {
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = file.file_name();
        if name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
            && let Err(error) = fs::remove_file(file.path())
        {
            warn!(%error, path = %file.path().display(), "cannot remove what is left of a working set");
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
