//! Extended attributes. Inodes name a set of them by number; inodes with equal sets share one.

use std::collections::HashMap;

use super::Error;
use super::metadata::Metadata;

/// What the format numbers in place of the first part of a name.
const PREFIXES: [(&[u8], u16); 3] = [(b"user.", 0), (b"trusted.", 1), (b"security.", 2)];
/// `XATTR_NAME_MAX` and `XATTR_SIZE_MAX` in Linux.
const NAME_MAX: usize = 255;
const VALUE_MAX: usize = 65536;
/// What an inode without attributes names.
const NONE: u32 = u32::MAX;

/// One attribute: its name with the prefix, and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// `user.…`, `trusted.…` or `security.…`.
    pub name: Box<[u8]>,
    /// Any bytes.
    pub value: Box<[u8]>,
}

/// A set of attributes that has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XattrSet(pub(super) u32);

impl XattrSet {
    /// No attributes.
    pub const NONE: Self = Self(NONE);
}

/// Whether the format has a place for attributes of this name: it has none for POSIX ACLs
/// (`system.`).
pub fn is_storable(name: &[u8]) -> bool {
    split(name).is_some()
}

fn split(name: &[u8]) -> Option<(u16, &[u8])> {
    PREFIXES
        .iter()
        .find_map(|(prefix, number)| Some((*number, name.strip_prefix(*prefix)?)))
        .filter(|(_, rest)| !rest.is_empty())
}

/// The attribute tables in the making.
#[derive(Default)]
pub(super) struct Xattrs {
    known: HashMap<Vec<u8>, u32>,
    pairs: Metadata,
    sets: Metadata,
    count: u32,
}

impl Xattrs {
    /// The number of this set, which is written when it is new. Order does not matter.
    pub(super) fn add(&mut self, xattrs: &[Xattr]) -> Result<XattrSet, Error> {
        if xattrs.is_empty() {
            return Ok(XattrSet::NONE);
        }
        let mut sorted: Vec<&Xattr> = xattrs.iter().collect();
        sorted.sort();
        let mut encoded = Vec::new();
        for xattr in sorted {
            let (prefix, rest) = split(&xattr.name)
                .filter(|_| xattr.name.len() <= NAME_MAX && !xattr.name.contains(&0))
                .filter(|_| xattr.value.len() <= VALUE_MAX)
                .ok_or_else(|| {
                    Error::BadXattr(String::from_utf8_lossy(&xattr.name).into_owned())
                })?;
            encoded.extend(prefix.to_le_bytes());
            encoded.extend((rest.len() as u16).to_le_bytes());
            encoded.extend_from_slice(rest);
            encoded.extend((xattr.value.len() as u32).to_le_bytes());
            encoded.extend_from_slice(&xattr.value);
        }
        if let Some(number) = self.known.get(&encoded) {
            return Ok(XattrSet(*number));
        }
        let number = self.count;
        self.count += 1;
        self.sets
            .extend(&self.pairs.position()?.reference().to_le_bytes());
        self.sets.extend(&(xattrs.len() as u32).to_le_bytes());
        self.sets.extend(&(encoded.len() as u32).to_le_bytes());
        self.pairs.extend(&encoded);
        self.known.insert(encoded, number);
        Ok(XattrSet(number))
    }

    /// The tables as they lie on disk at `start`, and the offset that the superblock names; `None`
    /// without attributes.
    pub(super) fn encode(&self, start: u64) -> Option<(Vec<u8>, u64)> {
        if self.count == 0 {
            return None;
        }
        let mut out = self.pairs.encode();
        let sets_start = start + out.len() as u64;
        let (sets, index) = self.sets.encode_indexed(sets_start);
        // Between the sets and the list of their blocks stands where the pairs begin and how many
        // sets there are.
        let (sets, list) = sets.split_at((index - sets_start) as usize);
        out.extend_from_slice(sets);
        out.extend(start.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend_from_slice(list);
        Some((out, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, value: &str) -> Xattr {
        Xattr {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        }
    }

    #[test]
    fn equal_sets_share_a_number_whatever_their_order() {
        let mut xattrs = Xattrs::default();
        let a = xattr("user.a", "1");
        let b = xattr("security.b", "2");
        let first = xattrs.add(&[a.clone(), b.clone()]).unwrap();
        assert_eq!(xattrs.add(&[b, a.clone()]).unwrap(), first);
        assert_ne!(xattrs.add(&[a]).unwrap(), first);
        assert_eq!(xattrs.add(&[]).unwrap(), XattrSet::NONE);
    }

    #[test]
    fn names_and_values_that_no_kernel_would_take_are_refused() {
        let long = format!("user.{}", "x".repeat(251));
        let large = "x".repeat(VALUE_MAX + 1);
        for bad in [
            xattr("system.posix_acl_access", ""),
            xattr("user.", ""),
            xattr(&long, ""),
            xattr("user.a\0b", ""),
            xattr("user.a", &large),
        ] {
            let error = Xattrs::default().add(&[bad]).unwrap_err();
            assert!(matches!(error, Error::BadXattr(_)));
        }
    }
}
