//! Sparse files, in the four ways that GNU tar has written them: in the header and blocks behind it;
//! as PAX records (0.0 and 0.1); as PAX records with the map before the content (1.0).
//! <https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html>

use ::tar::Header;

use super::number::number;
use super::pax::decimal;
use super::{BLOCK, EXTENSION_MAX};
use crate::flatten::Refusal;
use crate::flatten::refusal::Trouble;

const BAD: Refusal = Refusal::Damaged("the map of a sparse file is malformed");
/// More than any map has that fits where maps go.
const SEGMENTS_MAX: usize = 1 << 18;
const FIELD: usize = 12;

/// A part of a sparse file that is not a hole. The archive has the parts one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flatten) struct Segment {
    pub(in crate::flatten) offset: u64,
    pub(in crate::flatten) len: u64,
}

/// What PAX records say about a sparse file.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// The file's name, in place of the one made up for archivers that know no sparse files.
    pub(super) name: Option<Vec<u8>>,
    major: u64,
    size: Option<u64>,
    /// Offset and length in turn.
    map: Vec<u64>,
}

impl Declared {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"major" => self.major = decimal(value)?,
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"offset" | b"numbytes" => self.map.push(decimal(value)?),
            b"map" => {
                self.map = value
                    .split(|byte| *byte == b',')
                    .map(decimal)
                    .collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Length and segments. `block` gives the next block of the content.
    pub(super) fn resolve(
        self,
        block: impl FnMut() -> Result<[u8; BLOCK], Trouble>,
    ) -> Result<(u64, Vec<Segment>), Trouble> {
        let size = self.size.ok_or(BAD)?;
        let map = match self.major {
            0 => self.map,
            1 => leading_map(block)?,
            _ => return Err(BAD.into()),
        };
        if map.len() % 2 != 0 {
            return Err(BAD.into());
        }
        let segments = map
            .chunks_exact(2)
            .map(|pair| Segment {
                offset: pair[0],
                len: pair[1],
            })
            .collect();
        Ok((size, segments))
    }
}

/// The map that stands before the content: how many segments, then offsets and lengths, each number
/// on a line of its own, filled up to a full block.
fn leading_map(
    mut block: impl FnMut() -> Result<[u8; BLOCK], Trouble>,
) -> Result<Vec<u64>, Trouble> {
    let mut numbers = Vec::new();
    let mut line = Vec::new();
    let mut wanted = 1;
    let mut blocks = 0;
    while numbers.len() < wanted {
        blocks += 1;
        if blocks > EXTENSION_MAX / BLOCK as u64 {
            return Err(BAD.into());
        }
        for byte in block()? {
            if numbers.len() == wanted {
                break;
            }
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            numbers.push(decimal(&line)?);
            line.clear();
            if numbers.len() == 1 {
                let segments = usize::try_from(numbers[0]).map_err(|_| BAD)?;
                if segments > SEGMENTS_MAX {
                    return Err(BAD.into());
                }
                wanted += 2 * segments;
            }
        }
    }
    numbers.remove(0);
    Ok(numbers)
}

/// The map of an old GNU entry. `block` gives the blocks that follow the header.
pub(super) fn gnu(
    header: &Header,
    mut block: impl FnMut() -> Result<[u8; BLOCK], Trouble>,
) -> Result<(u64, Vec<Segment>), Trouble> {
    let header = header.as_gnu().ok_or(BAD)?;
    let size = u64::try_from(number(&header.realsize)?).map_err(|_| BAD)?;
    let mut segments = Vec::new();
    for pair in &header.sparse {
        segments.extend(segment(&pair.offset, &pair.numbytes)?);
    }
    let mut more = header.is_extended();
    while more {
        // 21 pairs, then whether a further block follows.
        let extension = block()?;
        let (pairs, flag) = extension.split_at(21 * 2 * FIELD);
        for pair in pairs.chunks_exact(2 * FIELD) {
            segments.extend(segment(&pair[..FIELD], &pair[FIELD..])?);
        }
        more = flag[0] != 0;
        if segments.len() > SEGMENTS_MAX {
            return Err(BAD.into());
        }
    }
    Ok((size, segments))
}

fn segment(offset: &[u8], len: &[u8]) -> Result<Option<Segment>, Refusal> {
    if offset[0] == 0 || len[0] == 0 {
        return Ok(None);
    }
    Ok(Some(Segment {
        offset: u64::try_from(number(offset)?).map_err(|_| BAD)?,
        len: u64::try_from(number(len)?).map_err(|_| BAD)?,
    }))
}

/// Segments ascend, stay within the file and make up all that the archive holds of it.
pub(super) fn check(size: u64, segments: &[Segment], body: u64) -> Result<(), Refusal> {
    let mut end = 0u64;
    let mut stored = 0u64;
    for segment in segments {
        if segment.offset < end {
            return Err(BAD);
        }
        end = segment.offset.checked_add(segment.len).ok_or(BAD)?;
        // Cannot overflow: it is no more than `end`.
        stored += segment.len;
    }
    if end > size || stored != body {
        return Err(BAD);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn segment(offset: u64, len: u64) -> Segment {
        Segment { offset, len }
    }

    #[test]
    fn map_before_the_content_may_span_blocks() {
        let mut text = b"100\n".to_vec();
        for number in 0..100 {
            text.extend(format!("{}\n512\n", number * 100_000).bytes());
        }
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        let blocks = text.len() / BLOCK;
        let mut rest = text.chunks_exact(BLOCK);
        let map = leading_map(|| Ok(rest.next().unwrap().try_into().unwrap())).unwrap();
        assert!(blocks > 1);
        assert_eq!(map.len(), 200);
        assert_eq!(map[198..], [9_900_000, 512]);
    }

    #[test]
    fn map_that_promises_too_many_segments_is_refused() {
        let mut block = [0; BLOCK];
        block[..11].copy_from_slice(b"9999999999\n");
        assert!(leading_map(|| Ok(block)).is_err());
        assert!(leading_map(|| Ok([b'1'; BLOCK])).is_err());
    }

    #[test]
    fn segments_must_ascend_fit_and_add_up() {
        assert!(check(10, &[segment(0, 2), segment(4, 2)], 4).is_ok());
        assert!(check(10, &[], 0).is_ok());
        assert!(check(10, &[segment(4, 2), segment(0, 2)], 4).is_err());
        assert!(check(10, &[segment(0, 5), segment(4, 2)], 7).is_err());
        assert!(check(5, &[segment(4, 2)], 2).is_err());
        assert!(check(10, &[segment(4, 2)], 3).is_err());
        assert!(check(10, &[segment(4, u64::MAX)], 3).is_err());
    }
}
