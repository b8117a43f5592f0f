//! An instance's folder, and the record in it by which a later process finds what this one left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sys::process::ProcessId;
use tracing::warn;

/// The record's file.
const RECORD: &str = "instance.json";

/// What an instance owns outside its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its network namespace's name.
    pub namespace: String,
    /// Its hypervisor, once there is one.
    pub process: Option<ProcessId>,
}

impl Record {
    /// Reads the record in an instance's folder.
    pub fn read(folder: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(folder.join(RECORD))?)?)
    }

    /// Writes the record so that a reader finds the old one or the new one, never a half. It need not outlive the
    /// machine, as nothing that it names does, so it is not synced.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let draft = folder.join("instance.json.new");
        fs::write(&draft, serde_json::to_vec(self)?)?;
        fs::rename(draft, folder.join(RECORD))
    }
}

/// The folder, removed with all that is in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, which must not exist.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir(path)?;
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            warn!(%error, folder = %self.0.display(), "cannot remove an instance's folder");
        }
    }
}

/// Whether `id` can name an instance: one plain path component that is no hidden file.
pub(crate) fn usable(id: &str) -> bool {
    (1..=200).contains(&id.len())
        && !id.starts_with('.')
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_lead_out_of_the_run_directory() {
        for id in ["hello-00001-abc", "a", "A_b.c"] {
            assert!(usable(id), "{id}");
        }
        for id in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            ".lock",
            "a b",
            &"x".repeat(201),
        ] {
            assert!(!usable(id), "{id}");
        }
    }

    #[test]
    fn the_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record {
            namespace: "vhive-x-1".into(),
            process: Some(ProcessId {
                pid: 7,
                start_time: 8,
            }),
        };
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), record);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
