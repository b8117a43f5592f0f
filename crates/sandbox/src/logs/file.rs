//! A file that is set aside when it has grown to its size; one old file is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Removes the log at `path`, with the entries before it. There may be none.
pub fn remove(path: &Path) -> io::Result<()> {
    for file in [path, &old(path), &next(path)] {
        remove_file(file)?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file of the entries before those in `path`.
pub(super) fn old(path: &Path) -> PathBuf {
    beside(path, ".1")
}

/// The file that is about to be the one at `path`.
fn next(path: &Path) -> PathBuf {
    beside(path, ".new")
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
        if let Err(error) = self.file.write_all(entries) {
            // Part of an entry would become one with the next. The error to tell is the first.
            let _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.size += entries.len() as u64;
        Ok(())
    }

    /// Makes the file the old one, and an empty one in its place. There is a file at the path at every moment, so
    /// that a reader who finds none knows that the log was removed.
    ///
    /// What may fail for want of space or of descriptors comes first, and what an attempt that failed has left does not hinder
    /// the next: the old name is freed and not renamed over, as `rename(2)` does nothing between two links of one file.
    fn set_aside(&self) -> io::Result<File> {
        let (old, next) = (old(&self.path), next(&self.path));
        remove_file(&next)?;
        let file = open(&next)?;
        remove_file(&old)?;
        fs::hard_link(&self.path, old)?;
        fs::rename(next, &self.path)?;
        Ok(file)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

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

    #[test]
    fn a_file_is_set_aside_after_an_attempt_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = Rotating::open(&path, 8).unwrap();
        file.write(b"one\ntwo\n").unwrap();
        for left in [old(&path), next(&path)] {
            fs::hard_link(&path, left).unwrap();
        }
        file.write(b"three\n").unwrap();
        file.write(b"four\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
        assert_eq!(fs::read_to_string(old(&path)).unwrap(), "three\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_log_goes_with_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for file in [&path, &old(&path), &next(&path)] {
            fs::write(file, "").unwrap();
        }
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// A file system of eight kilobytes.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn mount() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=8k", "tmpfs"])
                .arg(folder.path())
                .status()
                .unwrap();
            assert!(
                mounted.success(),
                "this test mounts a small tmpfs: run it as root"
            );
            Self(folder)
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
            if !std::thread::panicking() {
                assert!(unmounted.unwrap().success());
            }
        }
    }

    #[test]
    fn what_fits_only_in_part_is_not_there_at_all() {
        let disk = SmallDisk::mount();
        let path = disk.0.path().join("log");
        let mut file = Rotating::open(&path, 1 << 20).unwrap();
        file.write(b"one\n").unwrap();
        let error = file.write(&[b'x'; 12 << 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        file.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
