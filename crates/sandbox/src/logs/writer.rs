//! From the bytes a function prints to the log file and the tail.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use tracing::warn;

use super::file::Rotating;
use super::line::{Line, Splitter, Stream};
use super::progress::Progress;
use super::tail::Tail;

/// Writes one instance's log.
#[derive(Debug)]
pub(crate) struct Writer {
    file: Rotating,
    stdout: Splitter,
    stderr: Splitter,
    tail: Tail,
    entries: Vec<u8>,
    broken: bool,
    progress: Progress,
}

impl Writer {
    /// Opens the log at `path` and keeps the last `tail` lines at hand.
    pub(crate) fn open(
        path: &Path,
        max_bytes: u64,
        tail: usize,
        progress: Progress,
    ) -> io::Result<Self> {
        let file = Rotating::open(path, max_bytes)?;
        // Readers may wait for the file itself.
        progress.made();
        Ok(Self {
            file,
            stdout: Splitter::default(),
            stderr: Splitter::default(),
            tail: Tail::new(tail),
            entries: Vec::new(),
            broken: false,
            progress,
        })
    }

    /// Takes what the function printed at `now`.
    ///
    /// A log that cannot be written, for want of disk say, costs its lines and not the function.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) {
        let (splitter, tail, entries) = match stream {
            Stream::Stdout => (&mut self.stdout, &mut self.tail, &mut self.entries),
            Stream::Stderr => (&mut self.stderr, &mut self.tail, &mut self.entries),
        };
        splitter.push(bytes, |text, partial| {
            entry(stream, text, partial, now, tail, entries);
        });
        self.flush();
    }

    /// Writes the lines that were never ended.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        for (stream, splitter) in [
            (Stream::Stdout, &mut self.stdout),
            (Stream::Stderr, &mut self.stderr),
        ] {
            splitter.finish(|text, partial| {
                entry(
                    stream,
                    text,
                    partial,
                    now,
                    &mut self.tail,
                    &mut self.entries,
                );
            });
        }
        self.flush();
    }

    /// The last lines printed.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    fn flush(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        match self.file.write(&self.entries) {
            Ok(()) => self.broken = false,
            Err(error) => {
                // Once for each time it breaks, not for each line.
                if !self.broken {
                    warn!(%error, "cannot write a function's log; its lines are lost");
                }
                self.broken = true;
            }
        }
        self.entries.clear();
        self.progress.made();
    }
}

fn entry(
    stream: Stream,
    text: &[u8],
    partial: bool,
    time: Timestamp,
    tail: &mut Tail,
    entries: &mut Vec<u8>,
) {
    tail.push(text);
    Line {
        time,
        stream,
        partial,
        text,
    }
    .append_to(entries);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::progress::Log;

    #[test]
    fn both_streams_go_to_one_file_and_keep_their_lines_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let now = "2026-01-02T03:04:05.000000006Z".parse().unwrap();
        let mut writer = {
            let (_, progress) = Log::being_written(path.clone());
            Writer::open(&path, 1 << 20, 2, progress).unwrap()
        };
        writer.write(Stream::Stdout, b"out", now);
        writer.write(Stream::Stderr, b"err\n", now);
        writer.write(Stream::Stdout, b"put\nlast", now);
        writer.finish(now);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "2026-01-02T03:04:05.000000006Z stderr F err\n\
             2026-01-02T03:04:05.000000006Z stdout F output\n\
             2026-01-02T03:04:05.000000006Z stdout P last\n"
        );
        assert_eq!(
            writer.tail().lines().collect::<Vec<_>>(),
            ["output", "last"]
        );
    }
}
