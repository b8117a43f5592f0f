//! Measured values and what is said about them.

/// Values of one thing, in the order they were measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The values.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The middle value; not a number if there is none.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The lower and the upper quartile.
    pub fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    fn quantile(&self, at: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return f64::NAN;
        };
        let place = at * last as f64;
        let (below, above) = (
            sorted[place.floor() as usize],
            sorted[place.ceil() as usize],
        );
        below + (above - below) * place.fract()
    }
}

/// The same thing done by the server and by a bare loop, in turns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// By the server.
    pub server: Samples,
    /// By the loop.
    pub bare: Samples,
}

impl Compared {
    /// The server's time over the loop's, turn by turn.
    pub fn ratio(&self) -> Samples {
        let pairs = self.server.0.iter().zip(&self.bare.0);
        Samples(pairs.map(|(server, bare)| server / bare).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_quartiles_are_between_the_values() {
        let samples = Samples(vec![4.0, 1.0, 3.0, 2.0]);
        assert!((samples.median() - 2.5).abs() < 1e-9);
        let (lower, upper) = samples.quartiles();
        assert!((lower - 1.75).abs() < 1e-9 && (upper - 3.25).abs() < 1e-9);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn ratios_are_of_the_same_turn() {
        let compared = Compared {
            server: Samples(vec![2.0, 9.0]),
            bare: Samples(vec![1.0, 3.0]),
        };
        assert_eq!(compared.ratio().values(), [2.0, 3.0]);
    }
}
