//! What is to be looked at again though nothing happens, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

/// Waits until `time`; for ever if there is none.
pub(crate) async fn until(time: Option<Timestamp>) {
    match time {
        Some(time) => tokio::time::sleep(left(Timestamp::now(), time)).await,
        None => std::future::pending().await,
    }
}

/// How long it is until `time`; zero if it has passed.
pub(crate) fn left(now: Timestamp, time: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(time)).unwrap_or_default()
}

/// One time for each thing that has one. Looking for the next costs the same however many there are.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    times: BTreeMap<T, Timestamp>,
    order: BTreeSet<(Timestamp, T)>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            times: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<T: Ord + Clone> Agenda<T> {
    /// Sets a thing's time in place of the one that it had.
    pub(crate) fn set(&mut self, thing: T, time: Option<Timestamp>) {
        if let Some(before) = self.times.remove(&thing) {
            self.order.remove(&(before, thing.clone()));
        }
        if let Some(time) = time {
            self.order.insert((time, thing.clone()));
            self.times.insert(thing, time);
        }
    }

    /// The next time of all.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(time, _)| *time)
    }

    /// Takes those out whose time has come, the earliest first.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<T> {
        let mut due = Vec::new();
        while self.next().is_some_and(|time| time <= now) {
            let Some((_, thing)) = self.order.pop_first() else {
                break;
            };
            self.times.remove(&thing);
            due.push(thing);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_due_is_taken_once_in_order_and_a_new_time_replaces_the_old() {
        let mut agenda = Agenda::default();
        for (thing, second) in [("a", 5), ("b", 3), ("c", 9), ("a", 7), ("d", 4)] {
            agenda.set(thing, Some(at(second)));
        }
        agenda.set("d", None);
        assert_eq!(agenda.next(), Some(at(3)));
        assert_eq!(agenda.take_due(at(2)), [""; 0]);
        assert_eq!(agenda.take_due(at(7)), ["b", "a"]);
        assert_eq!(agenda.take_due(at(7)), [""; 0]);
        assert_eq!(agenda.next(), Some(at(9)));
        agenda.set("c", None);
        assert_eq!(agenda.next(), None);
    }
}
