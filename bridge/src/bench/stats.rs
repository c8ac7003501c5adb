//! Figures of repeated measurements, and how they compare. Pure arithmetic.

use std::collections::BTreeMap;

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

/// `value` as a multiple of every other name's.
pub fn ratios(name: &str, value: f64, others: &[(&'static str, f64)]) -> BTreeMap<&'static str, f64> {
    let usable = |(other, base): &&(&'static str, f64)| *other != name && *base != 0.0;
    others.iter().filter(usable).map(|(other, base)| (*other, value / base)).collect()
}

/// The best of several.
pub fn best<'a>(figures: &[(&'a str, f64)], better: Better) -> Option<(&'a str, f64)> {
    let sorted = |a: &&(&str, f64), b: &&(&str, f64)| a.1.total_cmp(&b.1);
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
    fn ratios_are_to_all_others_and_never_to_nothing() {
        let all = [("a", 10.0), ("b", 20.0), ("c", 0.0)];
        let ratios = ratios("a", 10.0, &all);
        assert_eq!(ratios.into_iter().collect::<Vec<_>>(), [("b", 0.5)]);
    }

    #[test]
    fn the_best_depends_on_what_is_better() {
        let all = [("a", 10.0), ("b", 20.0)];
        assert_eq!(best(&all, Better::Higher), Some(("b", 20.0)));
        assert_eq!(best(&all, Better::Lower), Some(("a", 10.0)));
        assert_eq!(best(&[], Better::Lower), None);
    }
}
