//! A metric by the second, over a window, and its average (knative.dev/serving `pkg/autoscaler/aggregation/bucketing.go`).

/// The weights of all buckets are to make up at least this much.
const WEIGHT_OF_ALL: f64 = 0.9999;
/// However long the window, the newest second counts for at least so much.
const LEAST_WEIGHT: f64 = 0.2;
/// Averages are rounded to millionths, so that what sums leave behind is no load.
const PRECISION: f64 = 1e6;

/// How seconds become one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// All seconds count alike.
    #[default]
    Linear,
    /// The newer, the more.
    WeightedExponential,
}

/// The values of the last so many seconds. Values of one second add.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    aggregation: Aggregation,
    /// By second, modulo their number.
    values: Vec<f64>,
    /// The first and the last second with a value; the first begins anew after a window without one.
    written: Option<(i64, i64)>,
}

impl Buckets {
    pub(super) fn new(seconds: usize, aggregation: Aggregation) -> Self {
        Self {
            aggregation,
            values: vec![0.0; seconds.max(1)],
            written: None,
        }
    }

    fn len(&self) -> i64 {
        self.values.len() as i64
    }

    fn place(&self, second: i64) -> usize {
        second.rem_euclid(self.len()) as usize
    }

    /// Adds a value to a second; one that is a window older than the newest is passed over.
    pub(super) fn record(&mut self, second: i64, value: f64) {
        let length = self.len();
        match self.written {
            None => self.written = Some((second, second)),
            Some((_, last)) if second <= last - length => return,
            Some((first, last)) if second <= last => {
                self.written = Some((first.min(second), last));
            }
            Some((_, last)) if second - last >= length => {
                self.values.fill(0.0);
                self.written = Some((second, second));
            }
            Some((first, last)) => {
                for gap in last + 1..=second {
                    let place = self.place(gap);
                    self.values[place] = 0.0;
                }
                self.written = Some((first, second));
            }
        }
        let place = self.place(second);
        self.values[place] += value;
    }

    /// Whether there is no value of the last window.
    pub(super) fn is_empty(&self, now: i64) -> bool {
        self.written.is_none_or(|(_, last)| now - last > self.len())
    }

    /// The average over the window that ends now.
    pub(super) fn average(&self, now: i64) -> f64 {
        let Some((first, last)) = self.written.filter(|_| !self.is_empty(now)) else {
            return 0.0;
        };
        // Seconds since the last value are no part of it: they are not known yet.
        let late = (now - last).max(0);
        let known = self.len() - late;
        let newest_first = (0..known).map(|back| self.values[self.place(last - back)]);
        match self.aggregation {
            Aggregation::Linear => {
                let seconds = (last - first + 1).min(known);
                if seconds <= 0 {
                    return 0.0;
                }
                let sum: f64 = newest_first.sum();
                (sum / seconds as f64 * PRECISION).round() / PRECISION
            }
            Aggregation::WeightedExponential => {
                let weight = weight(self.values.len());
                let fading = 1.0 - weight;
                let mut share = weight * fading.powi(late as i32);
                newest_first
                    .map(|value| {
                        let part = value * share;
                        share *= fading;
                        part
                    })
                    .sum()
            }
        }
    }

    /// Makes the window longer or shorter; the newest values stay.
    pub(super) fn resize(&mut self, seconds: usize) {
        let seconds = seconds.max(1);
        if seconds == self.values.len() {
            return;
        }
        let mut resized = Self::new(seconds, self.aggregation);
        if let Some((first, last)) = self.written {
            let kept = self.len().min(resized.len());
            for second in last - kept + 1..=last {
                let place = resized.place(second);
                resized.values[place] = self.values[self.place(second)];
            }
            // What had left the shorter window is not known.
            resized.written = Some((first.max(last - self.len() + 1), last));
        }
        *self = resized;
    }
}

/// The weight of the newest of so many seconds.
fn weight(seconds: usize) -> f64 {
    let enough = 1.0 - (1.0 - WEIGHT_OF_ALL).powf(1.0 / seconds as f64);
    enough.max(LEAST_WEIGHT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn linear(seconds: usize, records: &[(i64, f64)]) -> Buckets {
        filled(seconds, Aggregation::Linear, records)
    }

    fn filled(seconds: usize, aggregation: Aggregation, records: &[(i64, f64)]) -> Buckets {
        let mut buckets = Buckets::new(seconds, aggregation);
        for (second, value) in records {
            buckets.record(*second, *value);
        }
        buckets
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6
    }

    /// What it is about, what is recorded, when one looks, and the average.
    type Case<'a> = (&'a str, &'a [(i64, f64)], i64, f64);

    const FIVE: &[(i64, f64)] = &[(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0), (4, 5.0)];

    #[test]
    fn averages_divide_by_the_seconds_since_the_first_value() {
        let after_a_gap = [FIVE, &[(6, 91.0)]].concat();
        let much_later = [FIVE, &[(60, 1984.0)]].concat();
        let earlier = [&much_later[..], &[(57, 4.0)]].concat();
        let one_more = [&earlier[..], &[(61, 5.0)]].concat();
        let earlier_again = [&one_more[..], &[(58, 10.0)]].concat();
        let too_early = [&earlier_again[..], &[(55, 10.0)]].concat();
        let just_too_early = [&earlier_again[..], &[(56, 10.0)]].concat();
        let a_window_later = [&earlier_again[..], &[(66, 10.0)]].concat();
        let descending: Vec<_> = (0..=8).rev().map(|second| (second, 5.0)).collect();
        let many: Vec<_> = (0..5i64)
            .flat_map(|second| (0..5).map(move |it| (second, (second + it) as f64)))
            .collect();
        let mut unordered = many.clone();
        unordered.rotate_left(10);
        let cases: &[Case<'_>] = &[
            ("nothing is nothing", &[], 0, 0.0),
            ("one second alone", &FIVE[..1], 0, 1.0),
            ("a whole window", FIVE, 4, 3.0),
            ("a clock that lags behind", FIVE, 3, 3.0),
            ("a second without news yet", FIVE, 5, 14.0 / 4.0),
            ("a short gap", FIVE, 6, 12.0 / 3.0),
            ("nearly a window", FIVE, 8, 5.0),
            ("a long gap", FIVE, 10, 0.0),
            ("a value after a gap", &after_a_gap, 6, 103.0 / 5.0),
            ("a window without one begins anew", &much_later, 60, 1984.0),
            ("a value of before the first", &earlier, 60, 1988.0 / 4.0),
            ("and a second more", &one_more, 61, 1993.0 / 5.0),
            ("an earlier one again", &earlier_again, 61, 2003.0 / 5.0),
            ("one that is too early", &too_early, 61, 2003.0 / 5.0),
            ("by a second", &just_too_early, 61, 2003.0 / 5.0),
            ("exactly a window later", &a_window_later, 66, 10.0),
            ("backwards", &descending, 5, 5.0),
            ("values of one second add", &[(0, 1.0), (0, 10.0)], 0, 11.0),
            (
                "a gap is zero",
                &[(0, 1.0), (0, 10.0), (1, 1.0), (3, 1.0)],
                3,
                13.0 / 4.0,
            ),
            ("many in each second", &many, 4, 100.0 / 5.0),
            ("in any order", &unordered, 4, 100.0 / 5.0),
            (
                "a hole in the window",
                &[FIVE, &[(8, 2.0)]].concat(),
                8,
                7.0 / 5.0,
            ),
        ];
        for (name, records, now, expected) in cases {
            let average = linear(5, records).average(*now);
            assert!(
                close(average, *expected),
                "{name}: {average}, not {expected}"
            );
        }
    }

    #[test]
    fn what_sums_leave_behind_is_no_load() {
        let buckets = linear(5, &[(0, 3.6e-17)]);
        assert!(buckets.average(0).abs() <= 0.0);
    }

    #[test]
    fn it_is_empty_when_a_window_has_passed_without_a_value() {
        let buckets = linear(5, FIVE);
        assert!(linear(5, &[]).is_empty(0));
        assert_eq!(
            [4, 9, 10].map(|now| buckets.is_empty(now)),
            [false, false, true]
        );
    }

    #[test]
    fn weights_make_up_nearly_all_and_the_newest_second_a_fifth_at_least() {
        for (seconds, expected) in [
            (5, 0.841_511),
            (6, 0.784_557),
            (20, 0.369_043),
            (40, 0.205_671),
            (100, 0.2),
            (3600, 0.2),
        ] {
            assert!(
                close(weight(seconds), expected),
                "{seconds}: {}",
                weight(seconds)
            );
        }
    }

    #[test]
    fn weighted_averages_favour_what_is_new() {
        let (weight, rest) = (weight(5), 1.0 - weight(5));
        let fill: Vec<_> = (2..7).map(|second| (second, second as f64)).collect();
        let expected: f64 = (0..5)
            .map(|back| f64::from(6 - back) * weight * rest.powi(back))
            .sum();
        let cases: &[Case<'_>] = &[
            ("one second", &[(0, 2.0)], 0, 2.0 * weight),
            ("a second later", &[(0, 2.0)], 1, 2.0 * weight * rest),
            (
                "two alike",
                &[(0, 2.0), (1, 2.0)],
                1,
                2.0 * weight * (1.0 + rest),
            ),
            ("a window of them", &fill, 6, expected),
            ("after a window", &fill, 16, 0.0),
        ];
        for (name, records, now, expected) in cases {
            let average = filled(5, Aggregation::WeightedExponential, records).average(*now);
            assert!(
                close(average, *expected),
                "{name}: {average}, not {expected}"
            );
        }
        assert!(
            (expected - 5.812).abs() < 5e-4,
            "as upstream has it by hand"
        );
    }

    #[test]
    fn a_window_that_changes_keeps_what_it_can() {
        let six: Vec<_> = (0..6).map(|second| (second, second as f64 + 1.0)).collect();
        let mut buckets = linear(5, &six);
        assert!(close(buckets.average(5), 20.0 / 5.0));
        buckets.resize(10);
        assert!(
            close(buckets.average(5), 20.0 / 5.0),
            "the five that there were"
        );
        buckets.record(6, 7.0);
        assert!(close(buckets.average(6), 27.0 / 6.0));
        buckets.resize(4);
        assert!(close(buckets.average(6), 22.0 / 4.0), "the newest four");
        buckets.resize(4);
        assert!(close(buckets.average(6), 22.0 / 4.0), "the same again");
        let mut empty = linear(5, &[]);
        empty.resize(9);
        assert!(empty.is_empty(0));
        let mut weighted = filled(5, Aggregation::WeightedExponential, &six);
        weighted.resize(10);
        assert!(close(weight(weighted.values.len()), weight(10)));
    }

    proptest! {
        #[test]
        fn averages_lie_between_the_least_and_the_most(
            values in prop::collection::vec(0f64..1e3, 1..40), seconds in 1usize..70, weighted: bool,
        ) {
            let aggregation = if weighted { Aggregation::WeightedExponential } else { Aggregation::Linear };
            let records: Vec<_> = (0i64..).zip(values.iter().copied()).collect();
            let average = filled(seconds, aggregation, &records).average(values.len() as i64 - 1);
            let most = values.iter().copied().fold(0.0, f64::max);
            prop_assert!(average >= 0.0 && average <= most + 1e-6, "{average}");
        }
    }
}
