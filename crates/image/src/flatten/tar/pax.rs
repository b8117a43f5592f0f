//! PAX extended headers: records of `length keyword=value\n`, the length counting itself.

use std::collections::BTreeMap;

use super::sparse::Declared;
use crate::flatten::Refusal;

const XATTR: &[u8] = b"SCHILY.xattr.";
const SPARSE: &[u8] = b"GNU.sparse.";
const BAD: Refusal = Refusal::Damaged("an extended header is malformed");

/// What the records before an entry say about it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<i64>,
    /// By name.
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: Option<Declared>,
}

impl Pax {
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, Refusal> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or(BAD)?;
            pax.take(key, value)?;
            records = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if let Some(name) = key.strip_prefix(XATTR) {
            // The last one counts, as everywhere in PAX.
            self.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        if let Some(key) = key.strip_prefix(SPARSE) {
            return self.sparse.get_or_insert_default().take(key, value);
        }
        // An empty value takes an earlier one back.
        let given = !value.is_empty();
        match key {
            b"path" => self.path = given.then(|| value.to_vec()),
            b"linkpath" => self.link_path = given.then(|| value.to_vec()),
            b"size" if given => self.size = Some(decimal(value)?),
            b"uid" if given => self.uid = Some(seconds(value)?),
            b"gid" if given => self.gid = Some(seconds(value)?),
            b"mtime" if given => self.mtime = Some(seconds(value)?),
            _ => {}
        }
        Ok(())
    }
}

/// Splits the first record off: key, value, what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&bytes[..space]).ok()?).ok()?;
    let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, &bytes[len..]))
}

/// A number without a sign.
pub(super) fn decimal(digits: &[u8]) -> Result<u64, Refusal> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let text = std::str::from_utf8(digits).map_err(|_| BAD)?;
    text.parse().map_err(|_| BAD)
}

/// A time, or an id, which is written the same way. Fractions are cut towards the past.
fn seconds(value: &[u8]) -> Result<i64, Refusal> {
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &b""[..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let (negative, digits) = match whole.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    let whole = i64::try_from(decimal(digits)?).map_err(|_| BAD)?;
    let cut = negative && fraction.iter().any(|digit| *digit != b'0');
    Ok(if negative {
        -whole - i64::from(cut)
    } else {
        whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_nuls_and_equals_signs() {
        let pax = Pax::parse(b"27 SCHILY.xattr.a=\n=\0x=\n\ny\n12 path=abc\n").unwrap();
        assert_eq!(pax.xattrs[&b"a"[..]], b"\n=\0x=\n\ny");
        assert_eq!(pax.path.as_deref(), Some(&b"abc"[..]));
    }

    #[test]
    fn last_record_of_a_kind_counts_and_an_empty_one_takes_it_back() {
        let pax = Pax::parse(b"9 path=a\n9 path=b\n12 size=123\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"b"[..]));
        assert_eq!(pax.size, Some(123));
        let pax = Pax::parse(b"9 path=a\n8 path=\n").unwrap();
        assert_eq!(pax.path, None);
    }

    #[test]
    fn times_lose_their_fraction_towards_the_past() {
        assert_eq!(seconds(b"12.9"), Ok(12));
        assert_eq!(seconds(b"-1.5"), Ok(-2));
        assert_eq!(seconds(b"-1.0"), Ok(-1));
        assert_eq!(seconds(b"-0.5"), Ok(-1));
        assert!(seconds(b"1.x").is_err());
        assert!(seconds(b"").is_err());
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"9 path=a"[..],
            b"99 path=a\n",
            b"7 patha\n",
            b"5 =a\n",
            b"2 \n",
            b"0 path=a\n",
            b"x path=a\n",
            b"99999999999999999999999999 path=a\n",
        ] {
            assert!(Pax::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
