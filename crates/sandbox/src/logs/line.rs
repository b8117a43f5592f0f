//! One line of a log, in the format of the Kubernetes container runtime interface:
//! `2026-01-02T03:04:05.000000006Z stdout F text`.
//!
//! The third word is `F` for a full line and `P` for a part whose rest follows in the next entry of the same
//! stream (kubelet's design document "CRI: Log management").

use std::fmt;

use jiff::Timestamp;

/// The most bytes of one entry; longer lines are written in parts. The same as containerd's.
pub(crate) const MAX_TEXT: usize = 16 * 1024;

/// Where a function printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// One entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the host received it.
    pub time: Timestamp,
    /// Where the function printed it.
    pub stream: Stream,
    /// Whether the line goes on in the next entry of the same stream.
    pub partial: bool,
    /// The text, without the line's end.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads an entry, with or without its line's end; `None` if it is not one.
    pub fn parse(entry: &'a [u8]) -> Option<Self> {
        let entry = entry.strip_suffix(b"\n").unwrap_or(entry);
        let mut words = entry.splitn(4, |byte| *byte == b' ');
        let time = str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let stream = match words.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // The kubelet knows further tags after a colon and asks readers to pass over them.
        let partial = match words.next()?.split(|byte| *byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Self {
            time,
            stream,
            partial,
            text: words.next()?,
        })
    }

    /// Appends the entry, with its line's end, to `out`.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let tag = if self.partial { 'P' } else { 'F' };
        out.extend_from_slice(format!("{:.9} {} {tag} ", self.time, self.stream).as_bytes());
        out.extend_from_slice(self.text);
        out.push(b'\n');
    }
}

/// Cuts what one stream carries into entries, holding back a line until its end has come.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    held: Vec<u8>,
}

impl Splitter {
    /// Takes the next bytes and hands out each entry that is complete: its text and whether it is partial.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = MAX_TEXT - self.held.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                self.held.extend_from_slice(&bytes[..end]);
                emit(&self.held, false);
                self.held.clear();
                bytes = &bytes[end + 1..];
            } else if window.len() > room {
                self.held.extend_from_slice(&bytes[..room]);
                emit(&self.held, true);
                self.held.clear();
                bytes = &bytes[room..];
            } else {
                self.held.extend_from_slice(bytes);
                return;
            }
        }
    }

    /// Hands out what is left when the stream ends without a line's end.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(&[u8], bool)) {
        if !self.held.is_empty() {
            emit(&self.held, true);
            self.held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut splitter = Splitter::default();
        let mut entries = Vec::new();
        let mut emit = |text: &[u8], partial| entries.push((text.to_vec(), partial));
        for chunk in chunks {
            splitter.push(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        entries
    }

    #[test]
    fn an_entry_is_written_as_the_kubelet_reads_it() {
        let mut out = Vec::new();
        Line {
            time: "2026-01-02T03:04:05.000000006Z".parse().unwrap(),
            stream: Stream::Stdout,
            partial: false,
            text: b"text with  spaces",
        }
        .append_to(&mut out);
        assert_eq!(
            out,
            b"2026-01-02T03:04:05.000000006Z stdout F text with  spaces\n"
        );
    }

    #[test]
    fn the_fraction_always_has_nine_digits_so_that_lines_sort_by_time() {
        let mut out = Vec::new();
        Line {
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            stream: Stream::Stderr,
            partial: true,
            text: b"",
        }
        .append_to(&mut out);
        assert_eq!(out, b"2026-01-02T03:04:05.000000000Z stderr P \n");
    }

    #[test]
    fn what_is_no_entry_is_not_read_as_one() {
        for wrong in [
            &b""[..],
            b"text",
            b"2026-01-02T03:04:05Z stdin F text",
            b"2026-01-02T03:04:05Z stdout X text",
            b"yesterday stdout F text",
        ] {
            assert_eq!(Line::parse(wrong), None);
        }
    }

    #[test]
    fn lines_are_put_together_over_chunks_and_the_unfinished_one_is_partial() {
        assert_eq!(
            split(&[b"on", b"e\n\ntw", b"o\nthr", b"ee"]),
            [
                (b"one".to_vec(), false),
                (b"".to_vec(), false),
                (b"two".to_vec(), false),
                (b"three".to_vec(), true)
            ]
        );
    }

    #[test]
    fn a_line_of_just_the_greatest_length_is_full_and_a_longer_one_comes_in_parts() {
        let mut text = vec![b'x'; MAX_TEXT];
        text.push(b'\n');
        assert_eq!(split(&[&text]), [(vec![b'x'; MAX_TEXT], false)]);
        text.insert(0, b'x');
        assert_eq!(
            split(&[&text]),
            [(vec![b'x'; MAX_TEXT], true), (b"x".to_vec(), false)]
        );
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_however_the_stream_is_cut(
            lines in prop::collection::vec((0usize..3 * MAX_TEXT, any::<bool>()), 0..4),
            cut in 1usize..2 * MAX_TEXT,
        ) {
            let mut stream = Vec::new();
            for (length, end) in lines {
                stream.extend(std::iter::repeat_n(b'x', length));
                if end { stream.push(b'\n'); }
            }
            let chunks: Vec<&[u8]> = stream.chunks(cut).collect();
            let mut joined = Vec::new();
            for (text, partial) in split(&chunks) {
                prop_assert!(text.len() <= MAX_TEXT);
                joined.extend(text);
                if !partial { joined.push(b'\n'); }
            }
            prop_assert_eq!(joined, stream);
        }

        #[test]
        fn what_was_written_is_read_back(
            nanoseconds in 0i64..i64::MAX,
            text in prop::collection::vec(any::<u8>().prop_filter("no line end", |b| *b != b'\n'), 0..50),
            partial: bool,
        ) {
            let line = Line {
                time: Timestamp::from_nanosecond(nanoseconds.into()).unwrap(),
                stream: Stream::Stderr,
                partial,
                text: &text,
            };
            let mut out = Vec::new();
            line.append_to(&mut out);
            prop_assert_eq!(Line::parse(&out), Some(line));
        }
    }
}
