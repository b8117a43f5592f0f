//! The most that there was at any time over the last while (knative.dev/serving `pkg/autoscaler/aggregation/max`).

use std::collections::VecDeque;

/// Values by step. Only those are kept that can still become the most: each is less than the one before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Most(VecDeque<(i64, u32)>);

impl Most {
    /// Notes a value at a step, and returns the most over the last `steps`. Of several values at one step the most counts.
    pub(super) fn record(&mut self, step: i64, value: u32, steps: i64) -> u32 {
        let values = &mut self.0;
        // A clock that was set back leaves steps that never pass.
        while values.back().is_some_and(|(at, _)| *at > step) {
            values.pop_back();
        }
        let same = values.back().filter(|(at, _)| *at == step);
        let value = same.map_or(value, |(_, before)| value.max(*before));
        while values.back().is_some_and(|(_, less)| *less <= value) {
            values.pop_back();
        }
        values.push_back((step, value));
        while values
            .front()
            .is_some_and(|(at, _)| step - at >= steps.max(1))
        {
            values.pop_front();
        }
        values.front().map_or(value, |(_, most)| *most)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(records: impl IntoIterator<Item = (i64, u32)>) -> Vec<u32> {
        let mut most = Most::default();
        let of = |(step, value)| most.record(step, value, 5);
        records.into_iter().map(of).collect()
    }

    #[test]
    fn the_most_is_remembered_for_five_steps() {
        let cases: &[(&str, &[u32], &[u32])] = &[
            ("one", &[1], &[1]),
            ("rising", &[1, 2], &[1, 2]),
            ("falling", &[2, 1], &[2, 2]),
            ("up and down and up", &[1, 2, 1], &[1, 2, 2]),
            ("it goes", &[5, 6, 5, 5, 5, 5, 5], &[5, 6, 6, 6, 6, 6, 5]),
            (
                "a higher one comes",
                &[5, 6, 5, 7, 5, 5, 1],
                &[5, 6, 6, 7, 7, 7, 7],
            ),
            (
                "the first stays the most",
                &[5, 8, 5, 7, 5, 5],
                &[5, 8, 8, 8, 8, 8],
            ),
            (
                "the second takes over",
                &[5, 8, 5, 7, 5, 5, 1],
                &[5, 8, 8, 8, 8, 8, 7],
            ),
            (
                "one after the other goes",
                &[5, 8, 5, 7, 5, 5, 1, 4, 4, 4],
                &[5, 8, 8, 8, 8, 8, 7, 7, 5, 5],
            ),
            (
                "and the next",
                &[5, 8, 5, 7, 5, 5, 1, 4, 4, 4, 4],
                &[5, 8, 8, 8, 8, 8, 7, 7, 5, 5, 4],
            ),
            (
                "a new highest",
                &[5, 8, 5, 7, 5, 5, 1, 4, 4, 4, 4, 9],
                &[5, 8, 8, 8, 8, 8, 7, 7, 5, 5, 4, 9],
            ),
            (
                "and down again",
                &[5, 8, 5, 7, 5, 5, 1, 4, 4, 4, 4, 9, 3, 4, 2, 1, 0],
                &[5, 8, 8, 8, 8, 8, 7, 7, 5, 5, 4, 9, 9, 9, 9, 9, 4],
            ),
        ];
        for (name, values, expected) in cases {
            let steps = (0i64..).zip(values.iter().copied());
            assert_eq!(all(steps), *expected, "{name}");
        }
    }

    type Case<'a> = (&'a str, &'a [(i64, u32)], &'a [u32]);

    #[test]
    fn steps_may_be_left_out_or_come_again() {
        let cases: &[Case<'_>] = &[
            ("a gap", &[(0, 6), (1, 5), (2, 2), (6, 1)], &[6, 6, 6, 2]),
            ("a long gap", &[(0, 5), (6, 4)], &[5, 4]),
            ("rising at one step", &[(1, 1), (1, 2), (1, 3)], &[1, 2, 3]),
            ("falling at one step", &[(1, 7), (1, 6), (1, 5)], &[7, 7, 7]),
            ("a clock set back", &[(100, 9), (50, 1)], &[9, 1]),
        ];
        for (name, records, expected) in cases {
            assert_eq!(all(records.iter().copied()), *expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_maximum_of_the_last_steps(pauses in prop::collection::vec((0i64..4, 0u32..9), 1..40)) {
            let mut step = 0;
            let records: Vec<_> = pauses.into_iter().map(|(pause, value)| { step += pause; (step, value) }).collect();
            let recent = records.iter().filter(|(at, _)| *at > step - 5).map(|(_, value)| *value).max();
            prop_assert_eq!(all(records.clone()).last().copied(), recent);
        }
    }
}
