//! Which events there are: the same thing that happens again is counted, and what is old, or too many, is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::About;

/// As long as Kubernetes keeps them (`--event-ttl`).
const AGE: SignedDuration = SignedDuration::from_hours(1);
/// Most events at once; the oldest go first. A thousand functions that are deployed together have fewer.
const MOST: usize = 20_000;

/// What happens, and may happen again.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Happening {
    pub(super) about: About,
    pub(super) warning: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

/// One kind of happening, however often it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) what: Arc<Happening>,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u32,
    /// Its place in the order of when they last happened.
    turn: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<Arc<Happening>, Entry>,
    /// By the turn in which they last happened.
    order: BTreeMap<u64, Arc<Happening>>,
    turn: u64,
}

impl Book {
    /// Notes that something happened, and returns its entry, and those that had to go.
    pub(super) fn note(&mut self, what: Happening, now: Timestamp) -> (Entry, Vec<Entry>) {
        self.turn += 1;
        let turn = self.turn;
        let entry = if let Some(known) = self.entries.get_mut(&what) {
            self.order.remove(&known.turn);
            known.last = now;
            known.count = known.count.saturating_add(1);
            known.turn = turn;
            known.clone()
        } else {
            let what = Arc::new(what);
            let entry = Entry {
                name: name(&what.about, turn, now),
                what: what.clone(),
                first: now,
                last: now,
                count: 1,
                turn,
            };
            self.entries.insert(what, entry.clone());
            entry
        };
        self.order.insert(turn, entry.what.clone());
        let mut gone = self.expire(now);
        while self.order.len() > MOST {
            gone.extend(self.drop_first());
        }
        (entry, gone)
    }

    /// Drops what is too old, and returns it.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Entry> {
        let mut gone = Vec::new();
        while let Some((_, first)) = self.order.first_key_value() {
            let entry = self.entries.get(first);
            if entry.is_some_and(|entry| now.duration_since(entry.last) <= AGE) {
                break;
            }
            gone.extend(self.drop_first());
        }
        gone
    }

    fn drop_first(&mut self) -> Option<Entry> {
        let (_, what) = self.order.pop_first()?;
        self.entries.remove(&what)
    }
}

/// As client-go names them: after the object, and then by time. Several can have the same time.
fn name(about: &About, turn: u64, now: Timestamp) -> String {
    let number = now.as_nanosecond().cast_unsigned() as u64 ^ turn;
    format!("{}.{number:016x}", about.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).unwrap()
    }

    fn note(book: &mut Book, name: &str, message: &str, minute: i64) -> (Entry, Vec<Entry>) {
        let what = Happening {
            about: About {
                name: name.to_owned(),
                ..About::default()
            },
            warning: false,
            reason: "Started".to_owned(),
            message: message.to_owned(),
        };
        book.note(what, at(minute))
    }

    fn names(entries: Vec<Entry>) -> Vec<String> {
        let entries = entries.into_iter();
        entries.map(|it| it.what.about.name.clone()).collect()
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
        assert_eq!(names(book.expire(at(71))), ["b"]);
        let (_, gone) = note(&mut book, "c", "m", 100);
        assert_eq!(names(gone), ["a"]);
        // What was dropped begins anew.
        assert_eq!(note(&mut book, "b", "m", 100).0.count, 1);
    }

    #[test]
    fn there_are_never_too_many_and_those_that_have_not_happened_for_longest_go_first() {
        let mut book = Book::default();
        for number in 0..MOST {
            assert!(note(&mut book, &number.to_string(), "m", 0).1.is_empty());
        }
        assert_eq!(note(&mut book, "0", "m", 1).0.count, 2);
        let (_, gone) = note(&mut book, "one too many", "m", 1);
        assert_eq!(names(gone), ["1"]);
        assert_eq!((book.entries.len(), book.order.len()), (MOST, MOST));
    }
}
