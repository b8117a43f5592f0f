//! Checksums: of files, as others publish them, and as they are pinned here.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256, Sha512};

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, in hexadecimal.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    digest_of::<Sha256>(path)
}

/// Whether a file has this checksum: SHA-256 or SHA-512, told apart by length.
pub fn matches(path: &Path, checksum: &str) -> io::Result<bool> {
    let found = match checksum.len() {
        128 => digest_of::<Sha512>(path)?,
        _ => sha256_of(path)?,
    };
    Ok(found.eq_ignore_ascii_case(checksum))
}

fn digest_of<D: Digest>(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = D::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The checksum of the file `name` in what was published: alone, or as sha256sum(1) lists it.
pub fn published(text: &str, name: &str) -> Option<String> {
    let is_checksum = |word: &&str| {
        matches!(word.len(), 64 | 128) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let mut found = text.lines().filter_map(|line| {
        let checksum = line.split_whitespace().find(is_checksum)?;
        // A list may have folders before names, and a star that says "binary".
        let named = line.split_whitespace().filter(|word| !is_checksum(word));
        let mut named = named.map(|word| {
            word.trim_start_matches('*')
                .rsplit('/')
                .next()
                .unwrap_or(word)
        });
        Some((checksum, named.next().map(str::to_owned)))
    });
    let all: Vec<_> = found.by_ref().collect();
    let by_name = all.iter().find(|(_, named)| named.as_deref() == Some(name));
    match (by_name, all.as_slice()) {
        (Some((checksum, _)), _) | (None, [(checksum, None)]) => {
            Some(checksum.to_ascii_lowercase())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_found_in_every_form_that_is_published() {
        let (a, b) = ("a".repeat(64), "B".repeat(128));
        assert_eq!(published(&format!("{a}\n"), "x"), Some(a.clone()));
        let list = format!("{a} *runc.amd64\n{b}  ./out/x.tgz\n");
        assert_eq!(published(&list, "runc.amd64"), Some(a));
        assert_eq!(published(&list, "x.tgz"), Some(b.to_lowercase()));
        assert_eq!(published(&list, "runc.arm64"), None);
        assert_eq!(published("404: Not Found", "x"), None);
    }
}
