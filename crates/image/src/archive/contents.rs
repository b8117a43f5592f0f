//! The files of an archive by name.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::walk::{self, Bounds, Entry, refused};
use super::{Error, Refusal};
use crate::manifest;
use crate::store::{Blob, Staging};
use crate::{Digest, Limits};

/// An image has a hundred layers, of three files each in the oldest format; an archive may have many
/// images.
const ENTRIES_MAX: u64 = 100_000;
/// `docker save` of old links layers that images share; it never links to links.
const LINKS_MAX: usize = 4;
const BLOBS: &str = "blobs/sha256/";

/// What is in an archive. The bytes are in the staging folder.
pub(super) struct Contents {
    pub(super) archive: PathBuf,
    files: BTreeMap<String, File>,
}

enum File {
    Content(Blob),
    Link(String),
}

impl Contents {
    pub(super) fn read(archive: &Path, input: impl Read, staging: &Staging) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let bounds = Bounds {
            entries: ENTRIES_MAX,
            bytes: Limits::default().max_unpacked_bytes,
        };
        walk::walk(archive, input, bounds, |path, entry| {
            let refused = |why| refused(archive, path, why);
            if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
                return Err(refused(Refusal::Climbs));
            }
            let path = clean(path, "").map_err(refused)?;
            if let Some(file) = take(archive, &path, entry, staging)?
                && files.insert(path, file).is_some()
            {
                return Err(refused(Refusal::Twice));
            }
            Ok(())
        })?;
        Ok(Self {
            archive: archive.to_owned(),
            files,
        })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The file at `path`, through links.
    pub(super) fn file(&self, path: &str) -> Result<&Blob, Error> {
        let mut at = path;
        for _ in 0..LINKS_MAX {
            match self.files.get(at) {
                Some(File::Content(blob)) => return Ok(blob),
                Some(File::Link(target)) => at = target,
                None => break,
            }
        }
        Err(Error::Missing {
            archive: self.archive.clone(),
            missing: path.to_owned(),
        })
    }

    /// The file that an OCI layout has for `digest`.
    pub(super) fn blob(&self, digest: &Digest) -> Result<&Blob, Error> {
        self.file(&blob_path(digest))
    }

    /// A small file.
    pub(super) fn read_file(
        &self,
        path: &str,
        limit: u64,
        staging: &Staging,
    ) -> Result<Vec<u8>, Error> {
        let blob = self.file(path)?;
        if blob.size > limit {
            let size = blob.size;
            return Err(self.document(path)(manifest::Error::TooLarge {
                size,
                limit,
            }));
        }
        Ok(staging.read(&blob.digest, limit)?)
    }

    /// An error about a document of the archive.
    pub(super) fn document(&self, path: &str) -> impl Fn(manifest::Error) -> Error + use<> {
        let (archive, entry) = (self.archive.clone(), path.to_owned());
        move |source| Error::Document {
            archive: archive.clone(),
            entry: entry.clone(),
            source,
        }
    }
}

pub(super) fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

/// Keeps an entry; folders are passed over.
fn take(
    archive: &Path,
    path: &str,
    entry: &mut Entry<'_, impl Read>,
    staging: &Staging,
) -> Result<Option<File>, Error> {
    let refused = |why| refused(archive, path.as_bytes(), why);
    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
    match entry.header().entry_type() {
        tar::EntryType::Directory => Ok(None),
        tar::EntryType::Regular | tar::EntryType::Continuous => {
            let named = path.strip_prefix(BLOBS).map(Digest::from_hex);
            let mut writer = match named {
                Some(Ok(digest)) => staging.expect(&digest, entry.size())?,
                _ => staging.writer(entry.size())?,
            };
            let copied = writer.copy(entry)?;
            copied.map_err(|source| walk::damaged(archive, source))?;
            Ok(Some(File::Content(writer.finish()?)))
        }
        tar::EntryType::Symlink => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            Ok(Some(File::Link(clean(&target, folder).map_err(refused)?)))
        }
        tar::EntryType::Link => Ok(Some(File::Link(clean(&target, "").map_err(refused)?))),
        _ => Err(refused(Refusal::Special)),
    }
}

/// A path without `.` and doubled slashes, seen from `folder`. In a path itself `..` has no place; in
/// a link it leads up, but not out.
fn clean(path: &[u8], folder: &str) -> Result<String, Refusal> {
    let path = std::str::from_utf8(path).map_err(|_| Refusal::NotText)?;
    if path.starts_with('/') {
        return Err(Refusal::Climbs);
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop().ok_or(Refusal::Climbs)?,
            _ => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_stay_inside() {
        assert_eq!(clean(b"./a//b/.", ""), Ok("a/b".to_owned()));
        assert_eq!(clean(b"../x/layer.tar", "y"), Ok("x/layer.tar".to_owned()));
        for (path, folder) in [("../x", ""), ("/etc/passwd", ""), ("../../x", "y")] {
            assert_eq!(
                clean(path.as_bytes(), folder),
                Err(Refusal::Climbs),
                "{path}"
            );
        }
        assert_eq!(clean(b"\xff", ""), Err(Refusal::NotText));
    }
}
