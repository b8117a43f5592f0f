//! Kernel modules, which the initramfs carries uncompressed and listed in the order of their dependencies.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

/// One path a line, in the order in which to load them. No file, no modules: the kernel has them built in.
const LIST: &str = "/modules.list";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {LIST}")]
    List(#[source] io::Error),
    #[error("cannot open the kernel module {path:?}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot load the kernel module {path:?}")]
    Load { path: PathBuf, source: Errno },
}

/// Loads every module of the list.
pub(crate) fn load() -> Result<(), Error> {
    let list = match std::fs::read_to_string(LIST) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::List(error)),
    };
    for line in list.lines().filter(|line| !line.is_empty()) {
        let path = Path::new("/").join(line);
        let file = File::open(&path).map_err(|source| Error::Open {
            path: path.clone(),
            source,
        })?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            // EEXIST: it is built in, or loaded.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(source) => return Err(Error::Load { path, source }),
        }
    }
    Ok(())
}
