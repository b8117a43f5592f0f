//! Which events there are: the same thing that happens again is counted, and what is old, or too many, is dropped.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::About;

/// As long as Kubernetes keeps them (`--event-ttl`).
const AGE: SignedDuration = SignedDuration::from_hours(1);
/// Most events at once; the oldest go first.
const MOST: usize = 1000;

/// One kind of happening, however often it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) about: About,
    pub(super) warning: bool,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u32,
}

/// All of them, in the order of when they last happened.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: VecDeque<Entry>,
    /// Told apart by it: several can have the same time.
    written: u64,
}

impl Book {
    /// Notes that something happened, and returns its entry, and those that had to go.
    pub(super) fn note(
        &mut self,
        about: &About,
        (warning, reason, message): (bool, &str, String),
        now: Timestamp,
    ) -> (Entry, Vec<Entry>) {
        let known = self.entries.iter().rposition(|entry| {
            entry.about == *about
                && entry.warning == warning
                && entry.reason == reason
                && entry.message == message
        });
        let known = known.and_then(|index| self.entries.remove(index));
        let entry = match known {
            Some(known) => Entry {
                last: now,
                count: known.count.saturating_add(1),
                ..known
            },
            None => Entry {
                name: self.name(about, now),
                about: about.clone(),
                warning,
                reason: reason.to_owned(),
                message,
                first: now,
                last: now,
                count: 1,
            },
        };
        self.entries.push_back(entry.clone());
        let mut gone = self.expire(now);
        while self.entries.len() > MOST {
            gone.extend(self.entries.pop_front());
        }
        (entry, gone)
    }

    /// Drops what is too old, and returns it.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Entry> {
        let old = |entry: &Entry| now.duration_since(entry.last) > AGE;
        let mut gone = Vec::new();
        while self.entries.front().is_some_and(old) {
            gone.extend(self.entries.pop_front());
        }
        gone
    }

    /// As client-go names them: after the object, and then by time.
    fn name(&mut self, about: &About, now: Timestamp) -> String {
        self.written += 1;
        let number = now.as_nanosecond().cast_unsigned() as u64 ^ self.written;
        format!("{}.{number:016x}", about.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(name: &str) -> About {
        About {
            name: name.to_owned(),
            ..About::default()
        }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).unwrap()
    }

    fn note(book: &mut Book, name: &str, message: &str, minute: i64) -> (Entry, Vec<Entry>) {
        book.note(
            &about(name),
            (false, "Started", message.to_owned()),
            at(minute),
        )
    }

    #[test]
    fn the_same_thing_again_is_counted_and_another_is_another() {
        let mut book = Book::default();
        let (first, _) = note(&mut book, "a", "m", 1);
        let (again, gone) = note(&mut book, "a", "m", 2);
        assert_eq!((first.count, again.count), (1, 2));
        assert_eq!((again.first, again.last), (at(1), at(2)));
        assert_eq!(again.name, first.name);
        assert!(gone.is_empty());
        for (name, message) in [("a", "n"), ("b", "m")] {
            let (other, _) = note(&mut book, name, message, 2);
            assert_eq!(other.count, 1);
            assert_ne!(other.name, first.name);
        }
    }

    #[test]
    fn what_has_not_happened_for_an_hour_is_dropped() {
        let mut book = Book::default();
        note(&mut book, "a", "m", 0);
        note(&mut book, "b", "m", 10);
        note(&mut book, "a", "m", 20);
        assert!(book.expire(at(70)).is_empty());
        let gone: Vec<_> = book
            .expire(at(71))
            .into_iter()
            .map(|it| it.about.name)
            .collect();
        assert_eq!(gone, ["b"]);
        let (_, gone) = note(&mut book, "c", "m", 100);
        assert_eq!(gone.len(), 1);
    }

    #[test]
    fn there_are_never_too_many() {
        let mut book = Book::default();
        let mut gone = Vec::new();
        for number in 0..=MOST {
            gone.extend(note(&mut book, &number.to_string(), "m", 0).1);
        }
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].about.name, "0");
    }
}
