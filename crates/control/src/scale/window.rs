//! The most that was needed at any time over the last while.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// Needs by time. Only those are kept that can still become the most: each is less than the one before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Window(VecDeque<(Timestamp, u32)>);

impl Window {
    /// Notes what is needed now, and returns the most that was needed over `window`.
    pub(super) fn observe(&mut self, need: u32, window: Duration, now: Timestamp) -> u32 {
        let needs = &mut self.0;
        // A clock that was set back leaves times that never pass.
        while needs
            .back()
            .is_some_and(|(at, less)| *less <= need || *at > now)
        {
            needs.pop_back();
        }
        needs.push_back((now, need));
        let start = now.checked_sub(window).unwrap_or(Timestamp::MIN);
        while needs.front().is_some_and(|(at, _)| *at <= start) {
            needs.pop_front();
        }
        needs.front().map_or(need, |(_, most)| *most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn last(samples: &[(i64, u32)]) -> u32 {
        let mut window = Window::default();
        let observed = samples.iter().map(|(second, need)| {
            window.observe(*need, WINDOW, Timestamp::from_second(*second).unwrap())
        });
        observed.last().unwrap()
    }

    #[test]
    fn the_most_is_remembered_for_the_window() {
        for (name, samples, expected) in [
            ("the first look has only itself", &[(0, 5)][..], 5),
            ("a peak is remembered", &[(0, 5), (9, 1)], 5),
            ("and forgotten", &[(0, 5), (10, 1)], 1),
            (
                "the next highest takes over",
                &[(0, 5), (4, 3), (5, 2), (12, 1)],
                3,
            ),
            ("a higher one replaces it", &[(0, 5), (1, 7), (10, 1)], 7),
            ("a clock set back", &[(100, 9), (50, 1)], 1),
        ] {
            assert_eq!(last(samples), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_maximum_over_the_window(samples in prop::collection::vec((0i64..4, 0u32..9), 1..40)) {
            let mut now = 0;
            let samples: Vec<(i64, u32)> = samples
                .into_iter()
                .map(|(pause, need)| { now += pause; (now, need) })
                .collect();
            let recent = samples.iter().filter(|(at, _)| *at > now - 10).map(|(_, need)| *need);
            prop_assert_eq!(last(&samples), recent.max().unwrap());
        }
    }
}
