//! The function's root: the image, read-only, under a layer of memory that takes what the function writes.
//!
//! ```text
//! /image   squashfs on /dev/vda          /layer   tmpfs: upper/ and work/
//!      └──────────────┬────────────────────────┘
//! /root    overlay, which becomes /, with /dev, /proc, /sys; the function's launcher adds /sys/fs/cgroup
//! ```
//!
//! The initramfs is the kernel's first root and cannot be left by `pivot_root(2)`; the new root is moved over
//! it and entered with chroot(2), as Documentation/filesystems/ramfs-rootfs-initramfs.rst tells.

use std::ffi::CStr;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chroot, symlink};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

const NO_DEVICES: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NOEXEC)
    .union(MsFlags::MS_NODEV);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot mount {what} on {target:?}")]
    Mount {
        what: &'static str,
        target: PathBuf,
        source: Errno,
    },
    #[error("cannot make the folder {path:?}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot make the link {path:?}")]
    Link { path: PathBuf, source: io::Error },
    #[error("cannot remove {path:?}")]
    Remove { path: PathBuf, source: io::Error },
    #[error("cannot enter the image's root")]
    Enter(#[source] io::Error),
}

/// A file system to mount inside the root.
struct Mount {
    what: &'static str,
    target: &'static str,
    flags: MsFlags,
    data: Option<&'static CStr>,
}

const fn inside(what: &'static str, target: &'static str, flags: MsFlags) -> Mount {
    Mount {
        what,
        target,
        flags,
        data: None,
    }
}

/// Mounts the image and makes it this process's root and working directory.
pub(crate) fn enter() -> Result<(), Error> {
    mount_at(&inside("devtmpfs", "/dev", MsFlags::MS_NOSUID))?;
    for path in ["/image", "/layer", "/root"] {
        folder(path)?;
    }
    attach(
        "/dev/vda",
        "/image",
        "squashfs",
        MsFlags::MS_RDONLY | MsFlags::MS_NODEV,
        None,
    )?;
    attach(
        "tmpfs",
        "/layer",
        "tmpfs",
        MsFlags::empty(),
        Some(c"mode=0755"),
    )?;
    for path in ["/layer/upper", "/layer/work"] {
        folder(path)?;
    }
    let layers = c"lowerdir=/image,upperdir=/layer/upper,workdir=/layer/work";
    attach(
        "overlay",
        "/root",
        "overlay",
        MsFlags::empty(),
        Some(layers),
    )?;

    std::env::set_current_dir("/root").map_err(Error::Enter)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).map_err(|source| {
        Error::Mount {
            what: "the root",
            target: "/".into(),
            source,
        }
    })?;
    chroot(".").map_err(Error::Enter)?;
    std::env::set_current_dir("/").map_err(Error::Enter)?;

    for each in [
        inside("devtmpfs", "/dev", MsFlags::MS_NOSUID),
        inside("proc", "/proc", NO_DEVICES),
        inside("sysfs", "/sys", NO_DEVICES),
    ] {
        mount_at(&each)?;
    }
    Ok(())
}

/// Adds what a process may look for, but nothing before it needs.
pub(crate) fn complete() -> Result<(), Error> {
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, link).map_err(|source| Error::Link {
            path: link.into(),
            source,
        })?;
    }
    for each in [
        Mount {
            data: Some(c"mode=0620,gid=5,ptmxmode=0666"),
            ..inside(
                "devpts",
                "/dev/pts",
                MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
            )
        },
        Mount {
            data: Some(c"mode=1777"),
            ..inside(
                "tmpfs",
                "/dev/shm",
                MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV),
            )
        },
        inside("mqueue", "/dev/mqueue", NO_DEVICES),
    ] {
        mount_at(&each)?;
    }
    // The machine's, not the function's (Knative's runtime contract, "Devices"). PID 1 has it open.
    remove("/dev/console")?;
    seal("/proc/sys")?;
    temporary("/tmp")
}

/// Makes a part of a mounted file system read-only for everybody.
fn seal(path: &'static str) -> Result<(), Error> {
    let sealing = |source| Error::Mount {
        what: path,
        target: path.into(),
        source,
    };
    let none = None::<&str>;
    mount(Some(path), path, none, MsFlags::MS_BIND, none).map_err(sealing)?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | NO_DEVICES;
    mount(none, path, none, flags, none).map_err(sealing)
}

/// A folder that every program counts on, if the image has none.
fn temporary(path: &'static str) -> Result<(), Error> {
    let making = |source| Error::Folder {
        path: path.into(),
        source,
    };
    match std::fs::create_dir(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(0o1777)).map_err(making),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(making(error)),
    }
}

fn remove(path: &'static str) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Remove {
            path: path.into(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Mounts, and makes the mount point only if it turns out to be missing: images mostly have it.
fn mount_at(each: &Mount) -> Result<(), Error> {
    match attach(each.what, each.target, each.what, each.flags, each.data) {
        Err(Error::Mount {
            source: Errno::ENOENT,
            ..
        }) => {
            folder(each.target)?;
            attach(each.what, each.target, each.what, each.flags, each.data)
        }
        result => result,
    }
}

fn attach(
    source: &str,
    target: &'static str,
    file_system: &'static str,
    flags: MsFlags,
    data: Option<&CStr>,
) -> Result<(), Error> {
    mount(Some(source), target, Some(file_system), flags, data).map_err(|source| Error::Mount {
        what: file_system,
        target: target.into(),
        source,
    })
}

fn folder(path: &str) -> Result<(), Error> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::Folder {
            path: path.into(),
            source: error,
        }),
        _ => Ok(()),
    }
}
