//! The manifest: the last file of a snapshot to be written, and the first to be read.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
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
}

impl Part {
    /// Reads a whole file. Blocks for as long as that takes.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut digest = Sha256::new();
        let mut chunk = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    digest.update(chunk.get(..count).unwrap_or_default());
                    bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let sha256 = digest
            .finalize()
            .iter()
            .fold(String::new(), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            });
        Ok(Self { bytes, sha256 })
    }
}

impl Manifest {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}
