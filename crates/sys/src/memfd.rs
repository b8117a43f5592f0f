//! Files that live in memory: guest RAM that a hypervisor maps and nobody sees by name.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;

/// A file in memory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused to make the file.
    #[error("cannot make the memory file {name:?}")]
    Create {
        /// The name asked for, which only `/proc/PID/maps` shows.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file cannot have this size.
    #[error("cannot give the memory file {name:?} a size of {size} bytes")]
    Resize {
        /// The name asked for.
        name: String,
        /// Bytes asked for.
        size: u64,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Makes a file of `size` zero bytes in memory; it takes no memory until it is written. The descriptor is
/// close-on-exec.
pub fn create(name: &str, size: u64) -> Result<OwnedFd, Error> {
    let fd =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(|source| Error::Create {
            name: name.to_owned(),
            source: source.into(),
        })?;
    rustix::fs::ftruncate(&fd, size).map_err(|source| Error::Resize {
        name: name.to_owned(),
        size,
        source: source.into(),
    })?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_memory_file_has_its_size_and_takes_no_memory() {
        let file = File::from(create("guest-ram", 1 << 30).unwrap());
        let stat = rustix::fs::fstat(&file).unwrap();
        assert_eq!((stat.st_size, stat.st_blocks), (1 << 30, 0));
    }

    #[test]
    fn a_size_that_no_file_can_have_is_refused_by_name() {
        let error = create("too-big", u64::MAX).unwrap_err();
        assert!(
            matches!(&error, Error::Resize { name, size: u64::MAX, .. } if name == "too-big"),
            "{error:?}"
        );
    }
}
