//! Short random names.

use std::fs::File;
use std::io::{self, Read};

/// What Kubernetes uses for generated suffixes: no vowels, no digits that look like letters.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random characters, such as `x7k2p`.
pub(crate) fn suffix() -> io::Result<String> {
    let mut bytes = [0u8; 5];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()))
        .map(|byte| char::from(*byte))
        .collect())
}
