//! What the kubelet mounts into a container, in the form that a guest can have: it shares no file system with the host.
//!
//! * A folder that the kubelet writes (`ConfigMap`, `Secret`, projected, downward API) becomes one of the guest's that the host writes, and
//!   is written again when it changes.
//! * An `emptyDir` becomes a folder in the guest's memory, which other containers of the pod do not see.
//! * A file is copied once. `/dev/termination-log` is left out: what is written there stays in the guest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sandbox::{Contents, GuestFile, MAX_VOLUME_BYTES, Mount, Volume};
use tonic::Status;

use crate::proto::runtime_v1 as cri;

/// By the kubelet's layout (`pkg/volume/util`): the name of the volume's kind is in its path.
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The kubelet swaps this link when it has written everything (`pkg/volume/util/atomic_writer.go`).
const DATA: &str = "..data";

/// A mount cannot be had in a guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "{container} is mounted from {host}, to be written: a microVM shares no folder with its host; use an emptyDir, or the default runtime class"
    )]
    Writable { container: String, host: String },
    #[error(
        "{host} is larger than {limit} bytes, which is the most that a microVM is given of all its mounts"
    )]
    TooLarge { host: PathBuf, limit: u64 },
    #[error("cannot read {}", host.display())]
    Read {
        host: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is neither a file nor a folder", host.display())]
    Special { host: PathBuf },
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = crate::chain(&error);
        match error {
            Error::Read { .. } => Self::failed_precondition(text),
            _ => Self::invalid_argument(text),
        }
    }
}

/// What a guest is given of the mounts of its container.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mounts {
    pub(crate) files: Vec<GuestFile>,
    pub(crate) volumes: Vec<Volume>,
    /// The folders on the host that the guest is to be told of when they change, with the volumes they are.
    pub(crate) sources: Vec<Source>,
}

/// A folder of the host, and what of it the guest has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    name: String,
    host: PathBuf,
    /// Where its link led when it was read last.
    version: Option<PathBuf>,
}

impl Mounts {
    /// Reads everything that is to be copied. Blocking.
    pub(crate) fn read(mounts: &[cri::Mount]) -> Result<Self, Error> {
        let mut read = Self::default();
        let mut budget = MAX_VOLUME_BYTES as u64;
        for mount in mounts {
            read.add(mount, &mut budget)?;
        }
        Ok(read)
    }

    fn add(&mut self, mount: &cri::Mount, budget: &mut u64) -> Result<(), Error> {
        if mount.container_path == TERMINATION_LOG {
            return Ok(());
        }
        let host = Path::new(&mount.host_path);
        let failed = |source| Error::Read {
            host: host.to_owned(),
            source,
        };
        let name = format!("mount-{}", self.volumes.len());
        let volume = |files| Volume {
            name: name.clone(),
            size_limit: 0,
            files,
            mounts: vec![Mount {
                path: mount.container_path.clone(),
                sub_path: String::new(),
                read_only: mount.readonly,
            }],
        };
        let kind = fs::metadata(host).map_err(failed)?.file_type();
        if kind.is_file() {
            self.files.push(file(host, &mount.container_path, budget)?);
        } else if !kind.is_dir() {
            let host = host.to_owned();
            return Err(Error::Special { host });
        } else if is_empty_dir(host) {
            self.volumes.push(volume(None));
        } else if !mount.readonly && !is_of_kubelet(host) {
            return Err(Error::Writable {
                container: mount.container_path.clone(),
                host: mount.host_path.clone(),
            });
        } else {
            let version = version(host);
            self.volumes.push(volume(Some(folder(host, budget)?)));
            self.sources.push(Source {
                name,
                host: host.to_owned(),
                version,
            });
        }
        Ok(())
    }
}

impl Source {
    /// What it holds now, if the kubelet has written it anew since. Blocking.
    pub(crate) fn changed(&mut self) -> Option<Result<Contents, Error>> {
        let now = version(&self.host);
        if now == self.version {
            return None;
        }
        // Read after its version: should it change meanwhile, it is read again.
        self.version = now;
        let files = folder(&self.host, &mut { MAX_VOLUME_BYTES as u64 });
        Some(files.map(|files| Contents {
            name: self.name.clone(),
            files,
        }))
    }
}

fn is_empty_dir(host: &Path) -> bool {
    host.components().any(|it| it.as_os_str() == EMPTY_DIR)
}

/// Whether the kubelet writes it, swapping a link.
fn is_of_kubelet(host: &Path) -> bool {
    host.join(DATA).is_symlink()
}

fn version(host: &Path) -> Option<PathBuf> {
    fs::read_link(host.join(DATA)).ok()
}

/// All files below a folder; links are followed, and the folders that are the kubelet's own are left out.
fn folder(host: &Path, budget: &mut u64) -> Result<Vec<GuestFile>, Error> {
    let mut files = Vec::new();
    walk(host, "", budget, &mut files)?;
    Ok(files)
}

fn walk(
    folder: &Path,
    prefix: &str,
    budget: &mut u64,
    files: &mut Vec<GuestFile>,
) -> Result<(), Error> {
    let failed = |source| Error::Read {
        host: folder.to_owned(),
        source,
    };
    let mut entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with("..")) else {
            continue;
        };
        let path = format!("{prefix}{name}");
        let kind = fs::metadata(entry.path()).map_err(failed)?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), budget, files)?;
        } else if kind.is_file() {
            files.push(file(&entry.path(), &path, budget)?);
        }
    }
    Ok(())
}

fn file(host: &Path, path: &str, budget: &mut u64) -> Result<GuestFile, Error> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    let failed = |source| Error::Read {
        host: host.to_owned(),
        source,
    };
    let opened = fs::File::open(host).map_err(failed)?;
    let mode = opened.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    let mut contents = Vec::new();
    // One byte more tells that there is more.
    let read = opened.take(*budget + 1).read_to_end(&mut contents);
    let read = read.map_err(failed)? as u64;
    *budget = budget.checked_sub(read).ok_or_else(|| Error::TooLarge {
        host: host.to_owned(),
        limit: MAX_VOLUME_BYTES as u64,
    })?;
    Ok(GuestFile {
        path: path.to_owned(),
        mode,
        contents,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tonic::Code;

    use super::*;

    fn mount(container: &str, host: &Path, readonly: bool) -> cri::Mount {
        cri::Mount {
            container_path: container.into(),
            host_path: host.to_string_lossy().into_owned(),
            readonly,
            ..Default::default()
        }
    }

    /// A volume as the kubelet writes it.
    fn publish(volume: &Path, version: &str, text: &str) {
        fs::create_dir_all(volume.join(version)).unwrap();
        fs::write(volume.join(version).join("key"), text).unwrap();
        let draft = volume.join("..data_tmp");
        symlink(version, &draft).unwrap();
        fs::rename(draft, volume.join(DATA)).unwrap();
        let _ = symlink("..data/key", volume.join("key"));
    }

    #[test]
    fn what_the_kubelet_writes_is_copied_once_and_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        publish(folder.path(), "..1", "one");
        let mut read = Mounts::read(&[mount("/etc/config", folder.path(), true)]).unwrap();
        let files = read.volumes[0].files.as_ref().unwrap();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!((&*files[0].path, &*files[0].contents), ("key", &b"one"[..]));
        assert!(read.sources[0].changed().is_none());
        publish(folder.path(), "..2", "two");
        let changed = read.sources[0].changed().unwrap().unwrap();
        assert_eq!(changed.name, read.volumes[0].name);
        assert_eq!(changed.files[0].contents, b"two");
        assert!(read.sources[0].changed().is_none());
    }

    #[test]
    fn an_empty_dir_is_the_guests_own_and_a_file_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("volumes/kubernetes.io~empty-dir/cache");
        fs::create_dir_all(&empty).unwrap();
        let hosts = folder.path().join("etc-hosts");
        fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
        let read = Mounts::read(&[
            mount("/cache", &empty, false),
            mount("/etc/hosts", &hosts, false),
            mount(TERMINATION_LOG, Path::new("/nowhere"), false),
        ]);
        let read = read.unwrap();
        assert_eq!(read.volumes.len(), 1);
        assert_eq!(read.volumes[0].files, None);
        assert_eq!(read.files.len(), 1);
        assert_eq!(read.files[0].path, "/etc/hosts");
        assert!(read.sources.is_empty());
    }

    #[test]
    fn what_a_guest_cannot_have_is_refused_with_the_code_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |mount| Status::from(Mounts::read(&[mount]).unwrap_err()).code();
        assert_eq!(
            refused(mount("/data", folder.path(), false)),
            Code::InvalidArgument
        );
        assert_eq!(
            refused(mount("/x", &folder.path().join("none"), true)),
            Code::FailedPrecondition
        );
        let large = fs::File::create(folder.path().join("large")).unwrap();
        large.set_len(MAX_VOLUME_BYTES as u64 + 1).unwrap();
        assert_eq!(
            refused(mount("/data", folder.path(), true)),
            Code::InvalidArgument
        );
    }
}
