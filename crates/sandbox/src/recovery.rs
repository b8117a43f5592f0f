//! Taking down what a process that was killed left: hypervisors, namespaces, folders.
//!
//! A hypervisor is found by the record in its instance's folder. One that was started in the moment before its
//! process could be recorded is found by its environment, which names the folder. Only what is surely this node's is
//! touched: processes by pid and start time, namespaces by the whole shape of their name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::process::ProcessId;
use tracing::warn;
use vmm::OWNER_VARIABLE;

use crate::chain;
use crate::instance::Record;
use crate::network;
use crate::sandbox::Error;

/// The file in the run directory that its user keeps locked.
pub(crate) const LOCK: &str = ".lock";

/// How long a killed process may take to end.
const END: Duration = Duration::from_secs(5);

/// How much of a predecessor's was taken down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Hypervisors that still ran.
    pub processes: usize,
    /// Network namespaces, those of the pool among them.
    pub namespaces: usize,
    /// Folders of instances.
    pub folders: usize,
}

/// Takes everything down. What cannot be is logged, and left for the next time.
pub(crate) fn sweep(run_dir: &Path, node_id: &str) -> Result<Recovered, Error> {
    let folders = folders(run_dir)?;
    let mut recovered = Recovered::default();

    let recorded = folders.iter().filter_map(|folder| {
        let record = Record::read(folder).ok()?;
        record.process
    });
    for process in recorded.chain(owned(run_dir)) {
        if !process.alive() {
            continue;
        }
        match process.kill_and_wait(END) {
            Ok(()) => recovered.processes += 1,
            Err(error) => {
                let error = chain(&error);
                warn!(
                    error,
                    pid = process.pid,
                    "cannot end a hypervisor left behind"
                );
            }
        }
    }
    recovered.namespaces = network::remove_all(node_id).map_err(Error::Namespaces)?;
    for folder in folders {
        match fs::remove_dir_all(&folder) {
            Ok(()) => recovered.folders += 1,
            Err(error) => {
                warn!(%error, folder = %folder.display(), "cannot remove a folder left behind");
            }
        }
    }
    Ok(recovered)
}

fn folders(run_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::RunDirectory {
        step: "read",
        path: run_dir.to_owned(),
        source,
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(run_dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// The processes whose environment says that they belong to an instance in `run_dir`.
fn owned(run_dir: &Path) -> impl Iterator<Item = ProcessId> + use<> {
    let run_dir = run_dir.to_owned();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(move |pid: u32| {
            // Taken first: should the pid pass to another process meanwhile, that one is not taken for it.
            let process = ProcessId::of(pid).ok()?;
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let folder = owner(&environment)?;
            (folder.parent() == Some(&run_dir)).then_some(process)
        })
}

/// The folder named by the environment of a process.
fn owner(environment: &[u8]) -> Option<&Path> {
    environment
        .split(|byte| *byte == 0)
        .find_map(|variable| {
            variable
                .strip_prefix(OWNER_VARIABLE.as_bytes())?
                .strip_prefix(b"=")
        })
        .map(|folder| Path::new(OsStr::from_bytes(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_read_from_among_other_variables() {
        let environment = b"PATH=/bin\0VHIVE_INSTANCE_X=/no\0VHIVE_INSTANCE=/run/a/b\0HOME=/";
        assert_eq!(owner(environment), Some(Path::new("/run/a/b")));
        assert_eq!(owner(b"PATH=/bin\0"), None);
        assert_eq!(owner(b""), None);
    }
}
