//! Space kept back for the moment when there is none: to remove an image, the list of references is written anew, which a full
//! disk would refuse, though removing images is what makes room on it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// A list of some two hundred images.
const BYTES: usize = 64 * 1024;

/// Takes the space, if there is any.
pub(super) fn keep(path: &Path) {
    if fs::metadata(path).is_ok_and(|file| file.len() >= BYTES as u64) {
        return;
    }
    // Half of it would not be missed, but is better left to what needs it now.
    if write(path).is_err() {
        release(path);
    }
}

/// Gives the space back, and says whether there was any.
pub(super) fn release(path: &Path) -> bool {
    fs::remove_file(path).is_ok()
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; BYTES])?;
    file.sync_all()
}
