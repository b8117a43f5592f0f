//! How many attempts in a row it takes to believe them.

use crate::config::Timing;

/// The attempts since the last that came out the other way.
#[derive(Debug, Default)]
pub(super) struct Streak {
    good: u32,
    bad: u32,
}

impl Streak {
    /// Counts an attempt. Tells whether the function is well, or unwell, once a threshold is reached.
    pub(super) fn count(&mut self, timing: &Timing, good: bool) -> Option<bool> {
        if good {
            (self.good, self.bad) = (self.good.saturating_add(1), 0);
            (self.good >= timing.success_threshold).then_some(true)
        } else {
            (self.good, self.bad) = (0, self.bad.saturating_add(1));
            (self.bad >= timing.failure_threshold).then_some(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attempts_in_a_row_count() {
        let timing = Timing {
            success_threshold: 2,
            failure_threshold: 3,
            ..Timing::default()
        };
        let mut streak = Streak::default();
        let verdicts: Vec<_> = "gbgg bbgbbb b"
            .chars()
            .filter(|it| !it.is_whitespace())
            .map(|it| streak.count(&timing, it == 'g'))
            .collect();
        let (well, unwell) = (Some(true), Some(false));
        assert_eq!(
            verdicts,
            [
                None, None, None, well, None, None, None, None, None, unwell, unwell
            ]
        );
    }
}
