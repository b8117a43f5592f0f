//! The watch log: the last writes, in order, bounded in number and bytes.
//!
//! Every write takes the next resourceVersion, so the log has no holes and an event is found by subtraction.

use std::collections::VecDeque;

use super::Object;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It is new.
    Added,
    /// It changed.
    Modified,
    /// It is gone; the event has its last state.
    Deleted,
}

/// One write.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The object after the write; its resourceVersion is the event's.
    pub object: Object,
    /// The object before the write, so that a selector sees objects come and go, and the past can be listed.
    pub previous: Option<Object>,
}

impl Event {
    /// The event's place in the order of all writes.
    pub fn resource_version(&self) -> u64 {
        self.object.resource_version()
    }
}

pub(super) struct Log {
    events: VecDeque<Event>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
    last: u64,
}

impl Log {
    pub(super) fn new(last: u64, max_events: usize, max_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            max_events,
            max_bytes,
            last,
        }
    }

    /// The resourceVersion of the newest event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The oldest resourceVersion after which nothing is missing.
    pub(super) fn oldest(&self) -> u64 {
        self.last - self.events.len() as u64
    }

    pub(super) fn push(&mut self, event: Event) {
        debug_assert_eq!(
            event.resource_version(),
            self.last + 1,
            "a hole in the watch log"
        );
        self.last = event.resource_version();
        self.bytes += event.object.json().len();
        self.events.push_back(event);
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            let Some(dropped) = self.events.pop_front() else {
                break;
            };
            self.bytes -= dropped.object.json().len();
        }
    }

    /// Events later than `after`, oldest first; `None` when some of them are no longer there.
    pub(super) fn since(&self, after: u64) -> Option<impl DoubleEndedIterator<Item = &Event>> {
        let skip = after.checked_sub(self.oldest())?;
        let skip = usize::try_from(skip)
            .unwrap_or(usize::MAX)
            .min(self.events.len());
        Some(self.events.range(skip..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn event(resource_version: u64) -> Event {
        let key = Key::new("things", "default", "a").unwrap();
        let json = format!(r#"{{"metadata":{{"resourceVersion":"{resource_version}"}}}}"#);
        Event {
            kind: EventKind::Modified,
            object: Object::from_json(key, json).unwrap(),
            previous: None,
        }
    }

    fn versions(log: &Log, after: u64) -> Option<Vec<u64>> {
        Some(log.since(after)?.map(Event::resource_version).collect())
    }

    #[test]
    fn what_is_still_in_the_log_is_replayed_from_any_version() {
        let mut log = Log::new(7, 3, usize::MAX);
        assert_eq!(versions(&log, 7), Some(vec![]));
        assert_eq!(
            versions(&log, 6),
            None,
            "nothing is known from before the log began"
        );
        for version in 8..=10 {
            log.push(event(version));
        }
        assert_eq!(versions(&log, 7), Some(vec![8, 9, 10]));
        assert_eq!(versions(&log, 9), Some(vec![10]));
        log.push(event(11));
        assert_eq!(versions(&log, 7), None, "8 was dropped");
        assert_eq!(versions(&log, 8), Some(vec![9, 10, 11]));
    }

    #[test]
    fn the_log_is_bounded_in_bytes() {
        let size = event(10).object.json().len();
        let mut log = Log::new(9, usize::MAX, 2 * size);
        for version in 10..=20 {
            log.push(event(version));
        }
        assert_eq!(log.oldest(), 18);
        assert_eq!(versions(&log, 18), Some(vec![19, 20]));
    }
}
