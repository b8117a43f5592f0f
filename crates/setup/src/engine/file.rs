//! Files: compared, saved, written, put back.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::state::{Restore, Store};
use crate::checksum::sha256;
use crate::paths::{HOME, SAVED};

/// Whether a file has this content, mode and owner.
pub(super) fn holds(path: &Path, content: &[u8], mode: u32, owner: Option<(u32, u32)>) -> bool {
    has_mode(path, mode, owner) && fs::read(path).is_ok_and(|found| found == content)
}

/// Whether a file has this mode and owner.
pub(super) fn has_mode(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> bool {
    fs::metadata(path).is_ok_and(|found| {
        found.is_file()
            && found.mode() & 0o7777 == mode
            && owner.is_none_or(|owner| owner == (found.uid(), found.gid()))
    })
}

/// Writes a file, after noting how it is undone. At any time it is what it was or what it is to be.
pub(super) fn write(
    store: &Store,
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> Result<(), Error> {
    folders(store, path, owner)?;
    save(store, path)?;
    replace(path, content, mode, owner).map_err(Error::file("write", path))
}

/// Notes what a file is now, unless that was noted before.
fn save(store: &Store, path: &Path) -> Result<(), Error> {
    // What is ours goes as a whole.
    if path.starts_with(HOME) {
        return Ok(());
    }
    let probe = Restore::File {
        path: path.to_owned(),
        was: None,
    };
    if store
        .look()
        .restores
        .iter()
        .any(|old| old.is_of_the_same(&probe))
    {
        return Ok(());
    }
    let was = if path.exists() {
        let saved = Path::new(SAVED).join(sha256(path.as_os_str().as_encoded_bytes()));
        fs::copy(path, &saved).map_err(Error::file("save", path))?;
        let found = fs::metadata(path).map_err(Error::file("save", path))?;
        std::os::unix::fs::chown(&saved, Some(found.uid()), Some(found.gid()))
            .map_err(Error::file("save", path))?;
        Some(saved)
    } else {
        None
    };
    store.restore_later(Restore::File {
        path: path.to_owned(),
        was,
    })
}

/// Makes the folders that a file is to be in.
fn folders(store: &Store, path: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    let missing: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.exists())
        .map(Path::to_owned)
        .collect();
    for folder in missing.into_iter().rev() {
        if !folder.starts_with(HOME) {
            store.restore_later(Restore::Folder(folder.clone()))?;
        }
        match fs::create_dir(&folder) {
            Ok(()) => {}
            // Another component was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(Error::file("create", &folder)(error)),
        }
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))
                .map_err(Error::file("give away", &folder))?;
        }
    }
    Ok(())
}

fn replace(path: &Path, content: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".vhive-new");
    let new = path.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(content)?;
    let (uid, gid) = owner.unwrap_or((0, 0));
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, path)
}

/// Makes a file what it was.
pub(super) fn restore(path: &Path, was: Option<&Path>) -> Result<(), Error> {
    let done = match was {
        None => match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        },
        Some(saved) => (|| {
            let found = fs::metadata(saved)?;
            let owner = Some((found.uid(), found.gid()));
            replace(path, &fs::read(saved)?, found.mode() & 0o7777, owner)
        })(),
    };
    done.map_err(Error::file("restore", path))
}

/// The files of a folder, one after the other.
pub(super) fn joined(folder: &Path) -> io::Result<Vec<u8>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    let contents = paths.iter().map(fs::read).collect::<io::Result<Vec<_>>>()?;
    Ok(contents.join(&b"\n"[..]))
}

/// What a line is commented out with.
const MARK: &str = "# vhive setup: ";

/// The text with every line that has `field` as a field commented out.
pub(crate) fn commented_out(text: &str, field: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let is_line = !line.trim_start().starts_with('#');
            if is_line && line.split_whitespace().any(|word| word == field) {
                format!("{MARK}{line}")
            } else {
                line.to_owned()
            }
        })
        .collect()
}

/// The text with what was commented out as lines again.
fn uncommented(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines
        .map(|line| line.strip_prefix(MARK).unwrap_or(line))
        .collect()
}

/// Whether a file has no such line.
pub(super) fn has_no_line(path: &Path, field: &str) -> bool {
    fs::read_to_string(path).map_or(true, |text| commented_out(&text, field) == text)
}

/// Comments lines out.
pub(super) fn comment_out(store: &Store, path: &Path, field: &str) -> Result<(), Error> {
    store.restore_later(Restore::Lines(path.to_owned()))?;
    edit(path, |text| commented_out(text, field))
}

/// Makes them lines again.
pub(super) fn uncomment(path: &Path) -> Result<(), Error> {
    if path.exists() {
        edit(path, uncommented)
    } else {
        Ok(())
    }
}

fn edit(path: &Path, edit: impl Fn(&str) -> String) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(Error::file("read", path))?;
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    let owner = Some((found.uid(), found.gid()));
    replace(path, edit(&text).as_bytes(), found.mode() & 0o7777, owner)
        .map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_lines_of_the_field_are_commented_out() {
        let text = "# swap was here\n/dev/sda1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0";
        let edited = commented_out(text, "swap");
        assert_eq!(
            edited,
            "# swap was here\n/dev/sda1 / ext4 defaults 0 1\n# vhive setup: /swapfile none swap sw 0 0"
        );
        assert_eq!(commented_out(&edited, "swap"), edited);
    }

    proptest! {
        #[test]
        fn commenting_out_is_undone_to_the_letter(text in "([a-z/# \t]{0,12}(swap)?[ a-z0-9]{0,6}\n?){0,6}") {
            prop_assume!(!text.contains(MARK));
            prop_assert_eq!(uncommented(&commented_out(&text, "swap")), text);
        }
    }
}
