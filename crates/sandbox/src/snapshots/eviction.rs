//! Which snapshots go when there are too many. Pure.

use jiff::Timestamp;

/// What is to be known of a snapshot to decide whether it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: String,
    /// What it takes on disk, in bytes.
    pub(super) bytes: u64,
    pub(super) last_used: Timestamp,
}

/// The snapshots to remove so that the rest takes no more than `space` bytes: those that were not used for the longest
/// time. `newest`, which was just made, stays even if it is too large alone.
pub(super) fn plan(mut held: Vec<Held>, newest: &str, space: u64) -> Vec<String> {
    let mut total: u64 = held.iter().map(|it| it.bytes).sum();
    held.sort_by(|left, right| (left.last_used, &left.id).cmp(&(right.last_used, &right.id)));
    let mut evicted = Vec::new();
    for snapshot in held.into_iter().filter(|it| it.id != newest) {
        if total <= space {
            break;
        }
        total -= snapshot.bytes;
        evicted.push(snapshot.id);
    }
    evicted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(sizes: &[(&str, u64, i64)]) -> Vec<Held> {
        let one = |(id, bytes, second): &(&str, u64, i64)| Held {
            id: (*id).to_owned(),
            bytes: *bytes,
            last_used: Timestamp::from_second(*second).unwrap(),
        };
        sizes.iter().map(one).collect()
    }

    #[test]
    fn nothing_goes_while_there_is_room() {
        assert!(plan(held(&[("a", 10, 1), ("b", 10, 2)]), "b", 20).is_empty());
    }

    #[test]
    fn the_longest_unused_go_first_and_no_more_than_need_be() {
        let all = held(&[("a", 10, 3), ("b", 10, 1), ("c", 10, 2), ("d", 10, 4)]);
        assert_eq!(plan(all, "d", 20), ["b", "c"]);
    }

    #[test]
    fn the_newest_stays_even_if_it_is_too_large() {
        let all = held(&[("a", 10, 5), ("new", 100, 1)]);
        assert_eq!(plan(all, "new", 20), ["a"]);
    }
}
