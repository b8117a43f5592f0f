//! What a volume holds, replaced as a whole: whoever reads finds all of the old or all of the new.
//!
//! ```text
//! ..3/              this version's files
//! ..data     ──▶    ..3                     renamed over the one before
//! key        ──▶    ..data/key
//! ```
//!
//! This is what the kubelet makes of a `ConfigMap` (k8s.io/kubernetes `pkg/volume/util/atomic_writer.go`), and programs that
//! wait for changes watch `..data`.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Component, Path, PathBuf};

use agent::protocol::GuestFile;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{path:?} leads out of it")]
    Path { path: String },
    #[error("{path:?}")]
    File { path: PathBuf, source: io::Error },
}

/// Whom files belong to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What a version's files are in.
fn name_of(version: u64) -> String {
    format!("..{version}")
}

/// Makes `files` all that the folder holds. `version` must be another each time. If it fails, the folder holds what it held.
/// What a version `kept` had stays under its own name.
pub(super) fn replace(
    folder: &Path,
    version: u64,
    files: &[GuestFile],
    owner: Option<Owner>,
    kept: Option<u64>,
) -> Result<(), Error> {
    let name = name_of(version);
    let new = folder.join(&name);
    if let Err(error) = write(&new, files, owner) {
        // There may be no room, so what was written must not stay.
        let _ = fs::remove_dir_all(&new);
        return Err(error);
    }
    let link = folder.join(NEW_DATA);
    // Of a time before, which did not get as far as the next line but one.
    let _ = fs::remove_file(&link);
    symlink(&name, &link).map_err(at(&link))?;
    let data = folder.join(DATA);
    fs::rename(&link, &data).map_err(at(&data))?;

    let names = top_names(files);
    for name in &names {
        let link = folder.join(name);
        match symlink(Path::new(DATA).join(name), &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(at(&link)(error));
            }
            _ => {}
        }
    }
    let kept = kept.map(name_of);
    let mut stay = names;
    stay.extend(kept.iter().chain([&name]).map(Path::new));
    remove_others(folder, &stay).map_err(at(folder))
}

fn write(new: &Path, files: &[GuestFile], owner: Option<Owner>) -> Result<(), Error> {
    let own = |path: &Path| match owner {
        Some(Owner { uid, gid }) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    };
    let make = |path: &Path| {
        let made = DirBuilder::new().mode(0o755).create(path);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|()| own(path)),
        }
        .map_err(at(path))
    };
    make(new)?;
    for file in files {
        let inside = Path::new(&file.path);
        let stays = inside
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !stays || file.path.is_empty() || file.path.starts_with("..") {
            return Err(Error::Path {
                path: file.path.clone(),
            });
        }
        let mut path = new.to_owned();
        let parent = inside.parent().unwrap_or(Path::new(""));
        for part in parent.components() {
            path.push(part);
            make(&path)?;
        }
        let path = new.join(inside);
        fs::write(&path, &file.contents)
            .and_then(|()| own(&path))
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(file.mode)))
            .map_err(at(&path))?;
    }
    Ok(())
}

/// The first part of each path.
fn top_names(files: &[GuestFile]) -> BTreeSet<&Path> {
    let paths = files.iter().map(|file| Path::new(&file.path));
    paths
        .filter_map(|path| path.components().next())
        .map(|part| Path::new(part.as_os_str()))
        .collect()
}

/// Removes older versions, and names that there are no more.
fn remove_others(folder: &Path, stay: &BTreeSet<&Path>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == DATA || stay.contains(Path::new(&name)) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn file(path: &str, mode: u32, contents: &str) -> GuestFile {
        GuestFile {
            path: path.to_owned(),
            mode,
            contents: contents.into(),
        }
    }

    /// What is seen under the names that do not begin with two dots.
    fn seen(folder: &Path) -> BTreeMap<String, String> {
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|it| it.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        let names = names.filter(|name| !name.starts_with(".."));
        names
            .map(|name| {
                let text = fs::read_to_string(folder.join(&name));
                (name, text.unwrap_or_else(|_| "folder".to_owned()))
            })
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn files_have_their_modes_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let files = [file("a", 0o400, "x"), file("deep/er/b", 0o777, "y")];
        replace(folder.path(), 1, &files, None, None).unwrap();
        let mode = |path: &str| {
            let metadata = fs::metadata(folder.path().join(path)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!((mode("a"), mode("deep/er/b")), (0o400, 0o777));
        assert_eq!(
            seen(folder.path()),
            pairs(&[("a", "x"), ("deep", "folder")])
        );
    }

    #[test]
    fn new_contents_take_the_place_of_the_old_at_once_and_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        replace(
            path,
            1,
            &[file("a", 0o644, "1"), file("gone", 0o644, "1")],
            None,
            None,
        )
        .unwrap();
        let data = fs::read_link(path.join(DATA)).unwrap();
        replace(
            path,
            2,
            &[file("a", 0o644, "2"), file("b", 0o644, "2")],
            None,
            None,
        )
        .unwrap();
        assert_eq!(seen(path), pairs(&[("a", "2"), ("b", "2")]));
        assert_ne!(fs::read_link(path.join(DATA)).unwrap(), data);
        assert!(!path.join(data).exists(), "the old version is removed");
        replace(path, 3, &[], None, None).unwrap();
        assert_eq!(seen(path), pairs(&[]));
    }

    #[test]
    fn a_version_that_is_kept_stays_beside_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (version, text) in [(1, "1"), (2, "2"), (3, "3")] {
            replace(path, version, &[file("a", 0o644, text)], None, Some(1)).unwrap();
        }
        assert_eq!(seen(path), pairs(&[("a", "3")]));
        assert_eq!(fs::read_to_string(path.join("..1/a")).unwrap(), "1");
        assert!(!path.join("..2").exists());
    }

    #[test]
    fn what_cannot_be_written_leaves_what_there_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        replace(path, 1, &[file("a", 0o644, "1")], None, None).unwrap();
        // A file where another's folder would have to be.
        let impossible = [file("a", 0o644, "2"), file("a/b", 0o644, "2")];
        assert!(replace(path, 2, &impossible, None, None).is_err());
        assert_eq!(seen(path), pairs(&[("a", "1")]));
        assert!(!path.join("..2").exists());
    }

    #[test]
    fn no_path_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "",
            "..",
            "../a",
            "a/../../b",
            "/etc/passwd",
            "..data",
            "..2/a",
        ] {
            let error =
                replace(folder.path(), 1, &[file(path, 0o644, "x")], None, None).unwrap_err();
            assert!(matches!(error, Error::Path { .. }), "{path}: {error}");
        }
    }
}
