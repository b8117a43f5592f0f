//! Reading a log while it is written, over rotations, until its instance is gone.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::file::old;

/// How long a reader at the end of the log waits before it looks again.
const PAUSE: Duration = Duration::from_millis(50);

/// Where to start reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the oldest entry there is.
    Start,
    /// At the last so many entries.
    Tail(usize),
}

/// Reads the log at `path` as a stream of entries, each without its line's end. With `follow` the stream goes on
/// with what is written later and ends when the instance's log is removed; else it ends where the log
/// ends now.
pub async fn follow(
    path: &Path,
    from: From,
    follow: bool,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let reader = Follow::open(path, from, follow).await?;
    Ok(stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|entry| (entry, reader)))
    }))
}

/// The reader behind [`follow`], to be asked entry by entry.
///
/// It holds the file it reads open, so a rotation takes nothing from it; a log that rotates twice within
/// 50 ms loses the entries in between.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    /// Whether to wait for more at the end.
    waits: bool,
    /// The file being read and those after it, oldest first; never empty.
    files: VecDeque<BufReader<File>>,
    /// What was read of an entry whose end is not there yet.
    entry: Vec<u8>,
}

impl Follow {
    /// Opens the log. It must exist.
    pub async fn open(path: &Path, from: From, follow: bool) -> io::Result<Self> {
        let owned = path.to_owned();
        let files = tokio::task::spawn_blocking(move || open(&owned, from))
            .await
            .map_err(io::Error::other)??;
        Ok(Self {
            path: path.to_owned(),
            waits: follow,
            files: files
                .into_iter()
                .map(|file| BufReader::new(File::from_std(file)))
                .collect(),
            entry: Vec::new(),
        })
    }

    /// The next entry, or `None` at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(entry) = self.read().await? {
                return Ok(Some(entry));
            }
            if self.files.len() > 1 {
                self.files.pop_front();
                self.entry.clear();
                continue;
            }
            if !self.waits {
                return Ok(None);
            }
            match self.look().await? {
                Look::Same => tokio::time::sleep(PAUSE).await,
                Look::Rotated(next) => self.files.push_back(next),
                Look::Removed => {
                    // The writer may have written between our last read and the removal.
                    self.waits = false;
                }
            }
        }
    }

    /// An entry from the first file, or `None` at its end.
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let Some(file) = self.files.front_mut() else {
            return Ok(None);
        };
        file.read_until(b'\n', &mut self.entry).await?;
        if self.entry.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.entry.pop();
        Ok(Some(std::mem::take(&mut self.entry).into()))
    }

    /// What became of the path whose file was read to its end.
    async fn look(&self) -> io::Result<Look> {
        let Some(reader) = self.files.front() else {
            return Ok(Look::Removed);
        };
        let read = reader.get_ref().metadata().await?;
        match File::open(&self.path).await {
            Ok(file) => {
                let there = file.metadata().await?;
                if (there.dev(), there.ino()) == (read.dev(), read.ino()) {
                    Ok(Look::Same)
                } else {
                    Ok(Look::Rotated(BufReader::new(file)))
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Look::Removed),
            Err(error) => Err(error),
        }
    }
}

enum Look {
    Same,
    Rotated(BufReader<File>),
    Removed,
}

/// Opens the files to read, oldest first, each where reading starts.
fn open(path: &Path, from: From) -> io::Result<VecDeque<fs::File>> {
    let mut newest = fs::File::open(path)?;
    let mut older = match fs::File::open(old(path)) {
        // The log rotated between the two: it is the same file.
        Ok(file) if file.metadata()?.ino() == newest.metadata()?.ino() => None,
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let From::Tail(wanted) = from {
        let found = seek_to_last(&mut newest, wanted)?;
        match &mut older {
            Some(file) if found < wanted => {
                seek_to_last(file, wanted - found)?;
            }
            _ => older = None,
        }
    }
    Ok(older.into_iter().chain([newest]).collect())
}

/// Moves to the start of the last `wanted` lines, and returns how many of them there are.
fn seek_to_last(file: &mut fs::File, wanted: usize) -> io::Result<usize> {
    const BLOCK: u64 = 64 * 1024;
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut block = vec![0; BLOCK as usize];
    let mut ends = 0;
    while start > 0 {
        let length = BLOCK.min(start);
        start -= length;
        let block = &mut block[..length as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        for (index, _) in block
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
        {
            if ends == wanted {
                file.seek(SeekFrom::Start(start + index as u64 + 1))?;
                return Ok(wanted);
            }
            ends += 1;
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::logs::file::Rotating;

    struct Log {
        folder: tempfile::TempDir,
        file: Rotating,
    }

    impl Log {
        fn new(max_bytes: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = Rotating::open(&folder.path().join("log"), max_bytes).unwrap();
            Self { folder, file }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("log")
        }

        fn write(&mut self, line: impl std::fmt::Display) {
            self.file.write(format!("{line}\n").as_bytes()).unwrap();
        }
    }

    async fn rest(mut reader: Follow) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
        lines
    }

    #[tokio::test]
    async fn the_start_and_the_tail_reach_over_a_rotation() {
        let mut log = Log::new(12);
        for number in 1..=5 {
            log.write(format!("line{number}"));
        }
        for (from, expected) in [
            (From::Start, &["line3", "line4", "line5"][..]),
            (From::Tail(9), &["line3", "line4", "line5"]),
            (From::Tail(2), &["line4", "line5"]),
            (From::Tail(1), &["line5"]),
            (From::Tail(0), &[]),
        ] {
            let reader = Follow::open(&log.path(), from, false).await.unwrap();
            assert_eq!(rest(reader).await, expected, "{from:?}");
        }
    }

    #[tokio::test]
    async fn a_tail_longer_than_one_block_is_found() {
        let mut log = Log::new(1 << 30);
        for number in 0..40_000 {
            log.write(number);
        }
        let reader = Follow::open(&log.path(), From::Tail(30_000), false)
            .await
            .unwrap();
        let lines = rest(reader).await;
        assert_eq!(lines.len(), 30_000);
        assert_eq!(lines[0], "10000");
    }

    #[tokio::test]
    async fn a_follower_sees_what_is_written_later_over_rotations_until_the_log_is_removed() {
        let mut log = Log::new(12);
        log.write("line1");
        let mut reader = Follow::open(&log.path(), From::Start, true).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "line1");
        for number in 2..=9 {
            log.write(format!("line{number}"));
            let line = reader.next().await.unwrap().unwrap();
            assert_eq!(line, format!("line{number}"));
        }
        log.write("last");
        fs::remove_dir_all(log.folder.path()).unwrap();
        assert_eq!(rest(reader).await, ["last"]);
    }

    #[tokio::test]
    async fn a_follower_waits_for_the_end_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(b"begin").unwrap();
        let mut reader = Follow::open(&path, From::Start, true).await.unwrap();
        assert_eq!(reader.read().await.unwrap(), None);
        file.write_all(b"ning\n").unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "beginning");
    }
}
