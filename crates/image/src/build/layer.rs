//! A layer's entries: which, in what order, and as what bytes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Error, elf};

/// So that a program finds a name for its user, and a place for temporary files.
const PASSWD: &[u8] = b"root:x:0:0:root:/:/sbin/nologin\n\
nobody:x:65534:65534:nobody:/:/sbin/nologin\n";
const GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";

/// An entry. It will be root's, from 1970.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// In the image, without a slash at the start.
    path: PathBuf,
    mode: u32,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File { from: PathBuf, len: u64 },
    Text(&'static [u8]),
    Symlink { target: PathBuf },
}

/// The name of a binary in its image.
pub(super) fn binary_name(path: &Path) -> Result<&str, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Error::Name {
        path: path.to_owned(),
    })
}

/// The entries of an image of one program.
pub(super) fn binary(path: &Path) -> Result<Vec<Entry>, Error> {
    elf::check(path)?;
    let entry = |path: &str, mode, kind| Entry {
        path: PathBuf::from(path),
        mode,
        kind,
    };
    let mut entries = vec![
        entry("etc", 0o755, Kind::Folder),
        entry("etc/group", 0o644, Kind::Text(GROUP)),
        entry("etc/passwd", 0o644, Kind::Text(PASSWD)),
        entry("tmp", 0o1777, Kind::Folder),
    ];
    let program = Kind::File {
        from: path.to_owned(),
        len: metadata(path, fs::metadata(path))?.len(),
    };
    entries.push(entry(binary_name(path)?, 0o755, program));
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The entries of a folder: folders before what is in them, names by their bytes.
pub(super) fn folder(path: &Path) -> Result<Vec<Entry>, Error> {
    if !metadata(path, fs::metadata(path))?.is_dir() {
        return Err(Error::NoFolder {
            path: path.to_owned(),
        });
    }
    let mut entries = Vec::new();
    descend(path, Path::new(""), &mut entries)?;
    Ok(entries)
}

fn descend(folder: &Path, inside: &Path, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let listed = fs::read_dir(folder).and_then(|names| {
        (names.map(|entry| entry.map(|entry| entry.file_name()))).collect::<io::Result<Vec<_>>>()
    });
    let mut names = listed.map_err(read(folder))?;
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for name in names {
        let (from, path) = (folder.join(&name), inside.join(&name));
        let found = metadata(&from, fs::symlink_metadata(&from))?;
        let kind = if found.is_dir() {
            Kind::Folder
        } else if found.is_symlink() {
            Kind::Symlink {
                target: fs::read_link(&from).map_err(read(&from))?,
            }
        } else if found.is_file() {
            Kind::File {
                from: from.clone(),
                len: found.len(),
            }
        } else {
            return Err(Error::Special { path: from });
        };
        entries.push(Entry {
            path: path.clone(),
            mode: found.mode() & 0o7777,
            kind,
        });
        if found.is_dir() {
            descend(&from, &path, entries)?;
        }
    }
    Ok(())
}

/// Bytes of all files.
pub(super) fn size(entries: &[Entry]) -> u64 {
    let len = |entry: &Entry| match entry.kind {
        Kind::File { len, .. } => len,
        _ => 0,
    };
    entries.iter().map(len).sum()
}

/// Writes the tar. Errors of reading travel as [`Error`] inside.
pub(super) fn write(entries: &[Entry], out: impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        match &entry.kind {
            Kind::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                tar.append_data(&mut header, &entry.path, io::empty())?;
            }
            Kind::File { from, len } => {
                header.set_size(*len);
                let content = Content {
                    path: from,
                    file: File::open(from).map_err(|error| io::Error::other(read(from)(error)))?,
                    left: *len,
                };
                tar.append_data(&mut header, &entry.path, content)?;
            }
            Kind::Text(text) => {
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, &entry.path, *text)?;
            }
            Kind::Symlink { target } => {
                header.set_entry_type(tar::EntryType::Symlink);
                // The modes of symlinks mean nothing and differ between file systems.
                header.set_mode(0o777);
                header.set_size(0);
                tar.append_link(&mut header, &entry.path, target)?;
            }
        }
    }
    tar.finish()
}

/// A file of which exactly `left` bytes are wanted: the header has promised them.
struct Content<'a> {
    path: &'a Path,
    file: File,
    left: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            count => count.map_err(|error| io::Error::other(read(self.path)(error)))?,
        };
        let ended = count == 0 && !buffer.is_empty();
        match self.left.checked_sub(count as u64) {
            Some(left) if !ended || left == 0 => self.left = left,
            _ => {
                return Err(io::Error::other(Error::Changed {
                    path: self.path.to_owned(),
                }));
            }
        }
        Ok(count)
    }
}

fn metadata(path: &Path, found: io::Result<Metadata>) -> Result<Metadata, Error> {
    found.map_err(read(path))
}

fn read(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Read {
        path: path.to_owned(),
        source,
    }
}
