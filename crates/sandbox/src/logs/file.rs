//! A file that is set aside when it has grown to its size; one old file is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Removes the log at `path`, with the entries before it. There may be none.
pub fn remove(path: &Path) -> io::Result<()> {
    for file in [path, &old(path)] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The file of the entries before those in `path`.
pub(super) fn old(path: &Path) -> PathBuf {
    beside(path, ".1")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The file and how full it is.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
}

impl Rotating {
    /// Opens the file to append, and makes its folder. It and its predecessor hold `max_bytes` each, or one write if that is more.
    pub(super) fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = open(path)?;
        Ok(Self {
            size: file.metadata()?.len(),
            path: path.to_owned(),
            file,
            max_bytes,
        })
    }

    /// Appends whole entries; they are never parted between two files.
    pub(super) fn write(&mut self, entries: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + entries.len() as u64 > self.max_bytes {
            self.file = self.set_aside()?;
            self.size = 0;
        }
        self.file.write_all(entries)?;
        self.size += entries.len() as u64;
        Ok(())
    }

    /// Makes the file the old one, and an empty one in its place. There is a file at the path at every moment, so
    /// that a reader who finds none knows that the log was removed.
    fn set_aside(&self) -> io::Result<File> {
        let (old, next) = (old(&self.path), beside(&self.path, ".new"));
        fs::hard_link(&self.path, &next)?;
        fs::rename(&next, old)?;
        let file = open(&next)?;
        fs::rename(next, &self.path)?;
        Ok(file)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_set_aside_and_the_one_before_it_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = Rotating::open(&path, 8).unwrap();
        for entry in [
            "one\n",
            "two\n",
            "three\n",
            "four\n",
            "longer than the limit\n",
        ] {
            file.write(entry.as_bytes()).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "longer than the limit\n"
        );
        assert_eq!(fs::read_to_string(old(&path)).unwrap(), "four\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_is_opened_again_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        Rotating::open(&path, 8).unwrap().write(b"one\n").unwrap();
        let mut file = Rotating::open(&path, 8).unwrap();
        file.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        file.write(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }
}
