//! Files that the host has the guest write.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use agent::protocol::GuestFile;

/// Writes a file, in place of what is there. Where a volume is mounted that cannot be written, that stays: all else can be.
pub(crate) fn write(file: &GuestFile) -> io::Result<()> {
    let path = Path::new(&file.path);
    let create = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(file.mode)
            .open(path)
    };
    let mut open = create();
    if matches!(&open, Err(error) if error.kind() == io::ErrorKind::NotFound) {
        folder(path.parent().unwrap_or(path))?;
        open = create();
    }
    match open {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        open => open?.write_all(&file.contents),
    }
}

/// Makes a folder, with those on the way to it.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}
