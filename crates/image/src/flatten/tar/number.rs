//! Numbers in headers: octal digits, or binary where the first bit is set.

use crate::flatten::Refusal;

const BAD: Refusal = Refusal::Damaged("a header holds a number that is none");

/// Reads a numeric field. An empty one is 0.
pub(super) fn number(field: &[u8]) -> Result<i64, Refusal> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => binary(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Result<i64, Refusal> {
    let is_filler = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_filler(byte));
    let digits = &field[start.unwrap_or(field.len())..];
    let end = digits.iter().position(is_filler);
    let digits = &digits[..end.unwrap_or(digits.len())];
    digits.iter().try_fold(0i64, |sum, digit| match digit {
        b'0'..=b'7' => sum
            .checked_mul(8)
            .map(|sum| sum + i64::from(digit - b'0'))
            .ok_or(BAD),
        _ => Err(BAD),
    })
}

/// Two's complement, most significant byte first; the mark takes the place of the sign bit, and the
/// bit beside it tells the sign.
fn binary(field: &[u8]) -> Result<i64, Refusal> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut value = i128::from(first.cast_signed());
    for byte in &field[1..] {
        value = value << 8 | i128::from(*byte);
        if i64::try_from(value).is_err() {
            return Err(BAD);
        }
    }
    i64::try_from(value).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_numbers_are_read_with_any_filling() {
        for field in [&b"0000644\0"[..], b"    644 ", b"644\0junk", b"644"] {
            assert_eq!(number(field), Ok(0o644));
        }
        assert_eq!(number(b"\0\0\0\0"), Ok(0));
        assert_eq!(number(b"        "), Ok(0));
    }

    #[test]
    fn binary_numbers_carry_a_sign() {
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 1, 0, 0]), Ok(65536));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert_eq!(number(&[0xff, 0xff, 0xfe]), Ok(-2));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(number(b"9").is_err());
        assert!(number(b"-1").is_err());
        assert!(number(&[0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
