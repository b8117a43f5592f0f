//! Where the logs of instances are.
//!
//! `logs/NAMESPACE_INSTANCE.log`, outside the run folder, since they outlive their instances. What a node that has ended left is
//! moved to `logs.previous/`, in place of what was there: its instances are known to nobody any more, but whoever asks why the
//! node ended may want to read what they said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gateway::RevisionKey;
use tracing::warn;

/// The folder of logs.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    folder: PathBuf,
}

impl Logs {
    /// Makes the folder, and puts aside what a predecessor left in it.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("logs");
        fs::create_dir_all(&folder)?;
        if fs::read_dir(&folder)?.next().is_some() {
            let previous = data_dir.join("logs.previous");
            match fs::remove_dir_all(&previous) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::rename(&folder, previous)?,
            }
            fs::create_dir(&folder)?;
        }
        Ok(Self { folder })
    }

    /// The log of an instance. No name has an underscore in it.
    pub(crate) fn of(&self, revision: &RevisionKey, instance: &str) -> PathBuf {
        let namespace = &revision.namespace;
        self.folder.join(format!("{namespace}_{instance}.log"))
    }
}

/// Removes a log that nobody will ask for any more.
pub(crate) fn remove(log: &Path) {
    if let Err(error) = sandbox::logs::remove(log) {
        warn!(log = %log.display(), %error, "cannot remove an old log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_predecessors_logs_are_kept_and_no_more() {
        let data_dir = tempfile::tempdir().unwrap();
        let names = |folder: &str| -> Vec<_> {
            let entries = fs::read_dir(data_dir.path().join(folder)).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect()
        };
        let key = RevisionKey::new("ns", "f-00001");
        for run in ["first", "second"] {
            let logs = Logs::open(data_dir.path()).unwrap();
            assert!(names("logs").is_empty());
            fs::write(logs.of(&key, run), "").unwrap();
        }
        Logs::open(data_dir.path()).unwrap();
        assert_eq!(names("logs.previous"), ["ns_second.log"]);
        // A node that ran nothing has nothing worth more.
        Logs::open(data_dir.path()).unwrap();
        assert_eq!(names("logs.previous"), ["ns_second.log"]);
    }
}
