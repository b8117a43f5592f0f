//! A disk that is soon full.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A file system of some megabytes, in memory.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    pub(crate) fn mount(path: &Path, megabytes: u32) -> Self {
        let options = std::ffi::CString::new(format!("size={megabytes}m")).expect("no NUL");
        mount(
            "tmpfs",
            path,
            "tmpfs",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .expect("needs root");
        Self {
            path: path.to_owned(),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = unmount(&self.path, UnmountFlags::DETACH);
        if !std::thread::panicking() {
            unmounted.expect("nothing uses it any more");
        }
    }
}
