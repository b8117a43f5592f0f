//! Volumes: folders of memory that the process sees where it wants to.
//!
//! Each is a tmpfs. It is mounted at a place of its own, from where it is bound to wherever it is to be seen, and then
//! unmounted there, so that the process finds it nowhere else. What the host writes is bound read-only; PID 1 keeps the folder
//! open, and through that descriptor writes what comes later.

mod contents;

use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use agent::protocol::{Contents, GuestFile, HOST_VOLUME_SIZE, Mount, Volume};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::files::folder;
use crate::launch::user;
use contents::Owner;

/// Where volumes are mounted first. Gone before the process starts.
const STAGE: &str = "/.volumes";

/// Where nothing may be mounted.
const PROC: &str = "/proc";

const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    User(#[from] user::Error),
    #[error("cannot mount volume {volume:?} on {path:?}")]
    Mount {
        volume: String,
        path: PathBuf,
        source: Errno,
    },
    #[error("cannot make {path:?}")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot mount volume {volume:?} on {path:?}, which is inside {PROC}")]
    Proc { volume: String, path: PathBuf },
    #[error("volume {volume:?} has no {sub_path:?}")]
    NoSubPath { volume: String, sub_path: String },
    #[error("volume {volume:?} cannot be written")]
    Write {
        volume: String,
        source: contents::Error,
    },
    #[error("there is no volume {0:?} that the host writes")]
    Unknown(String),
}

/// The volumes that the host writes.
#[derive(Default)]
pub(crate) struct Volumes {
    held: Vec<Held>,
    owner: Option<Owner>,
}

/// A volume that the host writes.
struct Held {
    name: String,
    folder: File,
    /// How often it was written.
    version: u64,
    /// Parts of the first version are mounted alone, and stay what they are.
    in_parts: bool,
    /// Of what it holds.
    digest: u64,
}

/// A volume at its first place.
struct Staged {
    volume: Volume,
    place: PathBuf,
}

impl Volumes {
    /// Makes volumes, writes what is in them, and mounts them. Their files belong to `user`, as the image knows it: what only
    /// their owner may read, the process may.
    pub(crate) fn mount(volumes: Vec<Volume>, user: &str) -> Result<Volumes, Error> {
        if volumes.is_empty() {
            return Ok(Volumes::default());
        }
        let user = user::of_image(user)?;
        let mut all = Volumes {
            held: Vec::new(),
            owner: Some(Owner {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            }),
        };
        let mut staged = Vec::new();
        for (number, volume) in volumes.into_iter().enumerate() {
            let place = Path::new(STAGE).join(number.to_string());
            stage(&volume, &place)?;
            if let Some(files) = &volume.files {
                let folder = File::open(&place).map_err(make(&place))?;
                all.held.push(Held::new(&volume, folder));
                all.write(&volume.name, files)?;
            }
            staged.push(Staged { volume, place });
        }
        // One that is mounted inside another has to come after it.
        let mut mounts: Vec<(&Staged, &Mount)> = staged
            .iter()
            .flat_map(|it| it.volume.mounts.iter().map(move |mount| (it, mount)))
            .collect();
        mounts.sort_by_key(|(_, mount)| Path::new(&mount.path).components().count());
        for (staged, mount) in mounts {
            bind(staged, mount)?;
        }
        for Staged { volume, place } in &staged {
            umount2(place, MntFlags::MNT_DETACH).map_err(mounting(volume, place))?;
        }
        fs::remove_dir_all(STAGE).map_err(make(Path::new(STAGE)))?;
        Ok(all)
    }

    /// Gives volumes new contents. What a volume holds already is left alone.
    pub(crate) fn update(&mut self, volumes: &[Contents]) -> Result<(), Error> {
        volumes
            .iter()
            .try_for_each(|it| self.write(&it.name, &it.files))
    }

    fn write(&mut self, name: &str, files: &[GuestFile]) -> Result<(), Error> {
        let held = self.held.iter_mut().find(|held| held.name == name);
        let held = held.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let digest = digest(files);
        if held.version > 0 && held.digest == digest {
            return Ok(());
        }
        held.version += 1;
        let kept = held.in_parts.then_some(1);
        let replaced = contents::replace(&held.path(), held.version, files, self.owner, kept);
        replaced.map_err(|source| Error::Write {
            volume: name.to_owned(),
            source,
        })?;
        held.digest = digest;
        Ok(())
    }
}

impl Held {
    fn new(volume: &Volume, folder: File) -> Held {
        Held {
            name: volume.name.clone(),
            in_parts: volume.mounts.iter().any(|it| !it.sub_path.is_empty()),
            folder,
            version: 0,
            digest: 0,
        }
    }

    /// A path to the folder, wherever it is mounted.
    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.folder.as_raw_fd()).into()
    }
}

fn digest(files: &[GuestFile]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        (&file.path, file.mode, &file.contents).hash(&mut hasher);
    }
    hasher.finish()
}

/// Mounts a volume at its first place.
fn stage(volume: &Volume, place: &Path) -> Result<(), Error> {
    folder(place).map_err(make(place))?;
    let (mode, limit) = match volume.files {
        Some(_) => ("0755", HOST_VOLUME_SIZE),
        // As an emptyDir of Kubernetes is.
        None => ("0777", volume.size_limit),
    };
    // 0 is no limit to tmpfs, either: Documentation/filesystems/tmpfs.rst.
    let data = format!("mode={mode},size={limit}");
    mount(
        Some("tmpfs"),
        place,
        Some("tmpfs"),
        FLAGS,
        Some(data.as_str()),
    )
    .map_err(mounting(volume, place))
}

/// Shows a volume, or a part of it, at one path.
fn bind(staged: &Staged, at: &Mount) -> Result<(), Error> {
    let Staged { volume, place } = staged;
    let source = place.join(&at.sub_path);
    if !at.sub_path.is_empty() && !source.exists() {
        if volume.files.is_some() {
            return Err(Error::NoSubPath {
                volume: volume.name.clone(),
                sub_path: at.sub_path.clone(),
            });
        }
        folder(&source).map_err(make(&source))?;
        fs::set_permissions(&source, Permissions::from_mode(0o777)).map_err(make(&source))?;
    }
    let target = Path::new(&at.path);
    mount_point(target, source.is_dir()).map_err(make(target))?;
    // PID 1 finds its own descriptors there, and container runtimes refuse it, too.
    if fs::canonicalize(target).is_ok_and(|path| path.starts_with(PROC)) {
        return Err(Error::Proc {
            volume: volume.name.clone(),
            path: target.to_owned(),
        });
    }
    let none = None::<&str>;
    mount(Some(&source), target, none, MsFlags::MS_BIND, none).map_err(mounting(volume, target))?;
    if at.read_only || volume.files.is_some() {
        let flags = FLAGS | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, target, none, flags, none).map_err(mounting(volume, target))?;
    }
    Ok(())
}

/// Makes what is to be mounted on, if it is missing.
fn mount_point(path: &Path, is_folder: bool) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if is_folder {
        return folder(path);
    }
    folder(path.parent().unwrap_or(path))?;
    File::create(path).map(drop)
}

fn make(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::Make {
        path: path.to_owned(),
        source,
    }
}

fn mounting(volume: &Volume, path: &Path) -> impl Fn(Errno) -> Error {
    let (volume, path) = (volume.name.clone(), path.to_owned());
    move |source| Error::Mount {
        volume: volume.clone(),
        path: path.clone(),
        source,
    }
}
