//! The manifest: the last file of a snapshot to be written, and the first to be read.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::fit::Origin;

/// The only version that is known. A change that older code would misread gets the next.
pub(super) const FORMAT: u32 = 1;

/// What a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Unique among all snapshots.
    pub id: String,
    /// Whose it is.
    pub key: String,
    /// When it was taken.
    pub created: Timestamp,
    /// What it was taken of.
    pub origin: Origin,
    /// The devices' state.
    pub state: Part,
    /// The guest's memory.
    pub memory: Part,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its length, holes included.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal; holes count as zeros.
    pub sha256: String,
    /// CRC-32 of each MiB of it in turn, the last of which may be shorter: they tell which part of a damaged file is
    /// damaged. Empty in manifests that were written before there were any.
    #[serde(default)]
    pub chunks: Vec<u32>,
}

/// Bytes of a file that have a checksum of their own.
pub(super) const CHUNK: usize = 1 << 20;

impl Part {
    /// Reads a whole file. Blocks for as long as that takes.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut digest = Sha256::new();
        let mut chunks = Vec::new();
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut bytes = 0;
        loop {
            chunk.clear();
            let count = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk)?;
            if count == 0 {
                break;
            }
            digest.update(&chunk);
            chunks.push(crc32fast::hash(&chunk));
            bytes += count as u64;
        }
        let sha256 = digest
            .finalize()
            .iter()
            .fold(String::new(), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            });
        Ok(Self {
            bytes,
            sha256,
            chunks,
        })
    }

    /// Where `found`, which has the same length, differs from what was written: ranges of bytes, neighbours joined. All of
    /// it, if that is all that is known.
    pub(super) fn differences(&self, found: &Self) -> Vec<Range<u64>> {
        if self.sha256 == found.sha256 {
            return Vec::new();
        }
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let pairs = self.chunks.iter().zip(&found.chunks);
        for (index, _) in pairs.enumerate().filter(|(_, (was, is))| was != is) {
            let start = (index * CHUNK) as u64;
            let end = (start + CHUNK as u64).min(self.bytes);
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        if ranges.is_empty() {
            ranges.push(0..self.bytes);
        }
        ranges
    }
}

impl Manifest {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(content: &[u8]) -> Part {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        fs::write(&path, content).unwrap();
        Part::of(&path).unwrap()
    }

    #[test]
    fn what_differs_is_told_by_the_chunk() {
        let mut content = vec![5; 4 * CHUNK + 10];
        let was = part(&content);
        assert_eq!(was.differences(&part(&content)), []);
        for at in [0, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK + 9] {
            content[at] ^= 1;
        }
        let (chunk, bytes) = (CHUNK as u64, content.len() as u64);
        let is = part(&content);
        assert_eq!(was.differences(&is), [0..chunk, 2 * chunk..bytes]);
        let old = Part {
            chunks: Vec::new(),
            ..was
        };
        let all = 0..bytes;
        assert_eq!(
            old.differences(&is),
            std::slice::from_ref(&all),
            "all that is known"
        );
    }

    #[test]
    fn a_manifest_without_checksums_of_chunks_is_read() {
        let old = r#"{"bytes": 3, "sha256": "abc"}"#;
        let part: Part = serde_json::from_str(old).unwrap();
        assert_eq!((part.bytes, part.chunks), (3, Vec::new()));
    }
}
