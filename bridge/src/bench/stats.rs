//! Figures of repeated measurements, and how they compare. Pure arithmetic.

use super::scenario::Better;

/// What repetitions of one figure came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many there are.
    pub n: usize,
}

impl Summary {
    /// Of finite figures; `None`: there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Summary> {
        let mut sorted: Vec<f64> = figures.into_iter().filter(|f| f.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let n = sorted.len();
        let median = f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]);
        Some(Summary { median, min, max, n })
    }

    /// How far apart least and greatest are, as a part of the median.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.max - self.min) / self.median }
    }
}

/// How many times the second of each pair the first is: the middle ratio; of an even number, the geometric mean of the two in
/// the middle, so that it is the same the other way round. `None`: there is no pair of which the second is not 0.
pub fn ratio(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let ratios = pairs.into_iter().map(|(figure, base)| figure / base);
    let mut sorted: Vec<f64> = ratios.filter(|r| r.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().checked_sub(1)? / 2;
    Some((sorted[middle] * sorted[sorted.len() / 2]).sqrt())
}

/// The best of several.
pub fn best<T: Copy>(figures: &[(T, f64)], better: Better) -> Option<(T, f64)> {
    let sorted = |a: &&(T, f64), b: &&(T, f64)| a.1.total_cmp(&b.1);
    match better {
        Better::Lower => figures.iter().min_by(sorted).copied(),
        Better::Higher | Better::Neither => figures.iter().max_by(sorted).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_mind_an_outlier() {
        let summary = Summary::of([3.0, 1.0, 100.0, 2.0, f64::NAN, 2.5]).unwrap();
        assert_eq!((summary.median, summary.min, summary.max, summary.n), (2.5, 1.0, 100.0, 5));
        assert!((summary.spread() - 99.0 / 2.5).abs() < 1e-9);
        assert!((Summary::of([4.0, 2.0]).unwrap().median - 3.0).abs() < 1e-9);
        assert_eq!(Summary::of([]), None);
        assert!(Summary::of([0.0]).unwrap().spread().abs() < 1e-9);
    }

    #[test]
    fn a_ratio_does_not_mind_a_machine_that_changes_its_speed() {
        // Half as fast in all rounds but one, though the medians are 3 and 4.
        let ratio_of = |pairs: &[(f64, f64)]| ratio(pairs.iter().copied());
        assert_eq!(ratio_of(&[(1.0, 2.0), (3.0, 6.0), (9.0, 18.0), (4.0, 2.0), (2.0, 4.0)]), Some(0.5));
        assert_eq!(ratio_of(&[(2.0, 1.0), (8.0, 1.0)]), Some(4.0));
        assert_eq!(ratio_of(&[(1.0, 2.0), (1.0, 8.0)]), Some(0.25), "the same the other way round");
        assert_eq!(ratio_of(&[(0.0, 8.0), (1.0, 0.0), (0.0, 0.0)]), Some(0.0), "and never to nothing");
        assert_eq!(ratio_of(&[(1.0, 0.0)]), None);
    }

    #[test]
    fn the_best_depends_on_what_is_better() {
        let all = [("a", 10.0), ("b", 20.0)];
        assert_eq!(best(&all, Better::Higher), Some(("b", 20.0)));
        assert_eq!(best(&all, Better::Lower), Some(("a", 10.0)));
        assert_eq!(best::<&str>(&[], Better::Lower), None);
    }
}
