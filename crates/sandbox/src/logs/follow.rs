//! Reading a log while it is written, over rotations, until its instance is gone.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::file::old;
use super::progress::Log;

/// Where to start reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the oldest entry there is.
    Start,
    /// At the last so many entries.
    Tail(usize),
}

/// Reads a log as a stream of entries, each without its line's end. With `follow` the stream goes on with what is written later
/// and ends when the instance has ended, or its log is removed; else it ends where the log ends now. Fails with `NotFound`
/// when there is no log, and with `follow` when there will be none either.
pub async fn follow(
    log: &Log,
    from: From,
    follow: bool,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let reader = Follow::open(log, from, follow).await?;
    Ok(stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|entry| (entry, reader)))
    }))
}

/// The reader behind [`follow`], to be asked entry by entry.
///
/// It holds the file it reads open, so a rotation takes nothing from it; a log that rotates twice before a reader has read
/// that file to its end loses the entries in between.
#[derive(Debug)]
pub struct Follow {
    log: Log,
    /// Whether to wait for more at the end.
    waits: bool,
    /// Whether nobody writes any more.
    ended: bool,
    /// The file being read and those after it, oldest first; never empty.
    files: VecDeque<BufReader<File>>,
    /// What was read of an entry whose end is not there yet.
    entry: Vec<u8>,
}

impl Follow {
    /// Opens the log. With `follow` it waits until there is one.
    pub async fn open(log: &Log, from: From, follow: bool) -> io::Result<Self> {
        let mut log = log.clone();
        let mut ended = false;
        let files = loop {
            let path = log.path().to_owned();
            let opened = tokio::task::spawn_blocking(move || open(&path, from));
            match opened.await.map_err(io::Error::other)? {
                Err(error) if follow && !ended && error.kind() == io::ErrorKind::NotFound => {
                    ended = log.changes.changed().await.is_err();
                }
                opened => break opened?,
            }
        };
        Ok(Self {
            log,
            waits: follow,
            ended,
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
                Look::Same if self.ended => self.waits = false,
                // What is written after we have read counts as a change that was not seen yet. When nobody writes any more,
                // what came between our last look and the end is still to be read.
                Look::Same => self.ended = self.log.changes.changed().await.is_err(),
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
        match File::open(self.log.path()).await {
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
    use crate::logs::file::{self, Rotating};
    use crate::logs::progress::Progress;

    struct Written {
        _folder: tempfile::TempDir,
        file: Rotating,
        log: Log,
        progress: Progress,
    }

    impl Written {
        fn new(max_bytes: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (log, progress) = Log::being_written(folder.path().join("log"));
            Self {
                file: Rotating::open(log.path(), max_bytes).unwrap(),
                _folder: folder,
                log,
                progress,
            }
        }

        fn write(&mut self, line: impl std::fmt::Display) {
            self.file.write(format!("{line}\n").as_bytes()).unwrap();
            self.progress.made();
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
        let mut written = Written::new(12);
        for number in 1..=5 {
            written.write(format!("line{number}"));
        }
        for (from, expected) in [
            (From::Start, &["line3", "line4", "line5"][..]),
            (From::Tail(9), &["line3", "line4", "line5"]),
            (From::Tail(2), &["line4", "line5"]),
            (From::Tail(1), &["line5"]),
            (From::Tail(0), &[]),
        ] {
            let reader = Follow::open(&written.log, from, false).await.unwrap();
            assert_eq!(rest(reader).await, expected, "{from:?}");
        }
    }

    #[tokio::test]
    async fn a_tail_longer_than_one_block_is_found() {
        let mut written = Written::new(1 << 30);
        for number in 0..40_000 {
            written.write(number);
        }
        let reader = Follow::open(&written.log, From::Tail(30_000), false)
            .await
            .unwrap();
        let lines = rest(reader).await;
        assert_eq!(lines.len(), 30_000);
        assert_eq!(lines[0], "10000");
    }

    #[tokio::test]
    async fn a_follower_sees_what_is_written_later_over_rotations_until_the_log_is_removed() {
        let mut written = Written::new(12);
        written.write("line1");
        let mut reader = Follow::open(&written.log, From::Start, true).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "line1");
        for number in 2..=9 {
            written.write(format!("line{number}"));
            let line = reader.next().await.unwrap().unwrap();
            assert_eq!(line, format!("line{number}"));
        }
        written.write("last");
        file::remove(written.log.path()).unwrap();
        assert_eq!(rest(reader).await, ["last"]);
    }

    #[tokio::test]
    async fn a_follower_reads_to_the_end_when_nobody_writes_any_more() {
        let mut written = Written::new(12);
        let reader = Follow::open(&written.log, From::Start, true).await.unwrap();
        written.write("last");
        let Written {
            _folder, progress, ..
        } = written;
        drop(progress);
        assert_eq!(rest(reader).await, ["last"]);
    }

    #[tokio::test]
    async fn a_follower_waits_for_a_log_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let (log, progress) = Log::being_written(folder.path().join("log"));
        let missing = Follow::open(&log, From::Start, false).await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let opening = tokio::spawn({
            let log = log.clone();
            async move { Follow::open(&log, From::Start, true).await }
        });
        tokio::task::yield_now().await;
        fs::write(log.path(), "first\n").unwrap();
        progress.made();
        let mut reader = opening.await.unwrap().unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "first");

        let (never, progress) = Log::being_written(folder.path().join("never"));
        drop(progress);
        let missing = Follow::open(&never, From::Start, true).await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_follower_waits_for_the_end_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(b"begin").unwrap();
        let (log, progress) = Log::being_written(path);
        let mut reader = Follow::open(&log, From::Start, true).await.unwrap();
        assert_eq!(reader.read().await.unwrap(), None);
        file.write_all(b"ning\n").unwrap();
        progress.made();
        assert_eq!(reader.next().await.unwrap().unwrap(), "beginning");
    }
}
