//! Which of two releases is newer.

use std::cmp::Ordering;

/// Compares releases of kernels: numbers by their value, all else by its letters. 6.1.0-9 is older than 6.1.0-10.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    parts(left).cmp(parts(right)).then_with(|| left.cmp(right))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Text(&'a str),
    /// Without leading zeros, so that the longer one is the larger.
    Number(usize, &'a str),
}

fn parts(mut rest: &str) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let number = rest.chars().next()?.is_ascii_digit();
        let end = rest
            .find(|c: char| c.is_ascii_digit() != number)
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(if number {
            let digits = part.trim_start_matches('0');
            Part::Number(digits.len(), digits)
        } else {
            Part::Text(part)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_by_their_value() {
        for (older, newer) in [
            ("6.1.0-9-cloud-amd64", "6.1.0-10-cloud-amd64"),
            ("5.15.0-99-generic", "6.8.0-1-generic"),
            ("6.1.9", "6.1.10"),
            ("6.1", "6.1.1"),
            ("6.1.0-10-amd64", "6.1.0-10-cloud-amd64"),
        ] {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater);
        }
        assert_eq!(compare("6.1.0", "6.1.0"), Ordering::Equal);
    }
}
