//! What has to be known after a restart, on the disk: pods and containers as they were asked for, and how far each container has come.
//!
//! ```text
//! pods/ID                 the RunPodSandboxRequest
//! containers/ID           the CreateContainerRequest
//! containers/ID.json      the record: when it started, how it ended
//! guests/ID               of a container that stands for a guest in containerd: its pod, and where the guest is reached there
//! logs/ID.log             what an instance prints, before it is copied into the kubelet's file; emptied at each start
//! ```
//!
//! A container is there once its record is: that is written last, and removed first.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::container::Record;
use crate::proto::runtime_v1 as cri;

/// The state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of it.
    #[error("cannot {step} {}", path.display())]
    File {
        /// A verb.
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{} is in use: another `vhive cri` may be running; stop it, or name another folder with --data-dir", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// The folder.
pub(crate) struct State {
    folder: PathBuf,
    /// Held for as long as this process uses the folder.
    _lock: File,
}

/// A container as it was left.
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) request: cri::CreateContainerRequest,
    pub(crate) record: Record,
}

/// A guest for which a container stands in containerd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptGuest {
    pub(crate) pod: String,
    /// Of the pod's loopback; other containers of the pod were told.
    pub(crate) port: u16,
}

impl State {
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        for part in ["pods", "containers", "guests", "logs"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(failed("make", &path))?;
        }
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(failed("make", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    path: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        // Of instances that are gone; the kubelet has what it wants of them.
        let logs = folder.join("logs");
        fs::remove_dir_all(&logs).map_err(failed("empty", &logs))?;
        fs::create_dir(&logs).map_err(failed("make", &logs))?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn put_pod(&self, id: &str, request: &[u8]) -> Result<(), Error> {
        write(&self.pod(id), request)
    }

    pub(crate) fn remove_pod(&self, id: &str) -> Result<(), Error> {
        remove(&self.pod(id))
    }

    pub(crate) fn put_container(
        &self,
        id: &str,
        request: &[u8],
        record: &Record,
    ) -> Result<(), Error> {
        write(&self.container(id), request)?;
        self.put_record(id, record)
    }

    pub(crate) fn put_record(&self, id: &str, record: &Record) -> Result<(), Error> {
        let path = self.record(id);
        let text = serde_json::to_vec(record).map_err(io::Error::from);
        write(&path, &text.map_err(failed("write", &path))?)
    }

    pub(crate) fn remove_container(&self, id: &str) -> Result<(), Error> {
        remove(&self.record(id))?;
        remove(&self.container(id))
    }

    /// The pods, by id. What cannot be read is left out, and said.
    pub(crate) fn pods(&self) -> Result<Vec<(String, cri::RunPodSandboxRequest)>, Error> {
        let mut pods = Vec::new();
        for (id, path) in entries(&self.folder.join("pods"))? {
            match read(&path) {
                Ok(request) => pods.push((id, request)),
                Err(error) => warn!(%error, pod = id, "a pod's state is damaged, and left out"),
            }
        }
        Ok(pods)
    }

    pub(crate) fn containers(&self) -> Result<Vec<Kept>, Error> {
        let mut containers = Vec::new();
        for (id, path) in entries(&self.folder.join("containers"))? {
            if id.strip_suffix(RECORD).is_some() {
                continue;
            }
            let record = fs::read(self.record(&id)).and_then(|it| Ok(serde_json::from_slice(&it)?));
            match (read(&path), record) {
                (Ok(request), Ok(record)) => containers.push(Kept {
                    id,
                    request,
                    record,
                }),
                // It was about to be created, or removed.
                (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => remove(&path)?,
                (Err(error), _) | (_, Err(error)) => {
                    warn!(%error, container = id, "a container's state is damaged, and left out");
                }
            }
        }
        Ok(containers)
    }

    /// Writes down that a container stands for a guest.
    pub(crate) fn put_guest(&self, stub: &str, guest: &KeptGuest) -> Result<(), Error> {
        let path = self.guest(stub);
        let text = serde_json::to_vec(guest).map_err(io::Error::from);
        write(&path, &text.map_err(failed("write", &path))?)
    }

    pub(crate) fn remove_guest(&self, stub: &str) -> Result<(), Error> {
        remove(&self.guest(stub))
    }

    pub(crate) fn guests(&self) -> Result<Vec<(String, KeptGuest)>, Error> {
        let mut guests = Vec::new();
        for (stub, path) in entries(&self.folder.join("guests"))? {
            let text = fs::read(&path).and_then(|it| Ok(serde_json::from_slice(&it)?));
            match text {
                Ok(guest) => guests.push((stub, guest)),
                Err(error) => warn!(%error, stub, "a guest's state is damaged, and left out"),
            }
        }
        Ok(guests)
    }

    fn guest(&self, stub: &str) -> PathBuf {
        self.folder.join("guests").join(stub)
    }

    /// Where instances write their logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    fn pod(&self, id: &str) -> PathBuf {
        self.folder.join("pods").join(id)
    }

    fn container(&self, id: &str) -> PathBuf {
        self.folder.join("containers").join(id)
    }

    fn record(&self, id: &str) -> PathBuf {
        self.folder.join("containers").join(format!("{id}{RECORD}"))
    }
}

fn read<M: Message + Default>(path: &Path) -> io::Result<M> {
    M::decode(&*fs::read(path)?).map_err(io::Error::other)
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let entry = entry.map_err(failed("read", folder))?;
        match entry.file_name().into_string() {
            // Half of a write that was cut off.
            Ok(name) if name.ends_with(DRAFT) => remove(&entry.path())?,
            Ok(name) => entries.push((name, entry.path())),
            Err(name) => warn!(?name, "an unknown file in the state of pods"),
        }
    }
    Ok(entries)
}

const DRAFT: &str = ".new";
const RECORD: &str = ".json";

/// Writes it so that a reader finds the old content or the new, also after the machine has crashed.
fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(DRAFT);
    let draft = PathBuf::from(draft);
    let written = (|| {
        let mut file = File::create(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    written.map_err(failed("write", path))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File {
        step,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_for_the_next_and_half_of_a_container_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert!(matches!(
            State::open(folder.path()),
            Err(Error::InUse { .. })
        ));
        let pod = cri::RunPodSandboxRequest {
            runtime_handler: "vhive".into(),
            ..Default::default()
        };
        let container = cri::CreateContainerRequest {
            pod_sandbox_id: "p".into(),
            ..Default::default()
        };
        let record = Record {
            created_at: 7,
            ..Record::default()
        };
        state.put_pod("p", &pod.encode_to_vec()).unwrap();
        state
            .put_container("c", &container.encode_to_vec(), &record)
            .unwrap();
        fs::write(folder.path().join("containers/half"), "").unwrap();
        fs::write(folder.path().join("containers/other.new"), "").unwrap();
        drop(state);

        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.pods().unwrap(), [("p".to_owned(), pod)]);
        let kept = state.containers().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((&kept[0].request, &kept[0].record), (&container, &record));
        assert_eq!(
            fs::read_dir(folder.path().join("containers"))
                .unwrap()
                .count(),
            2
        );
        state.remove_container("c").unwrap();
        state.remove_pod("p").unwrap();
        assert!(state.containers().unwrap().is_empty());
        assert!(state.pods().unwrap().is_empty());
    }
}
