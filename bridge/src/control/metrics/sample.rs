//! One value of one series, and how it reads in the exposition format.

/// A value as the snapshot has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Only grows.
    Count(u64),
    /// A time that only grows, in nanoseconds; scraped in seconds.
    Nanoseconds(u64),
    /// Any number.
    Gauge(f64),
}

/// Nanoseconds written as seconds, exactly and without trailing zeros: `1500000000` is `1.5`.
///
/// Counters of the `metrics` crate are integers, so times are counted in nanoseconds and turned into the base unit as
/// text, where no digit is lost however long the switch runs.
pub(super) fn seconds(nanoseconds: u64) -> String {
    let text = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_become_seconds_without_losing_a_nanosecond() {
        let shown = [0, 1, 1_500_000_000, 10_000_000_000, 86_400_000_000_001].map(seconds);
        assert_eq!(shown, ["0", "0.000000001", "1.5", "10", "86400.000000001"]);
    }
}
