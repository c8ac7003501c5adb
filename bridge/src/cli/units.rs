//! Figures for people: rates, sizes, counts, shares and times, three digits and a unit.
//!
//! Only formatting lives here: no colour, no columns (see `table`), no arithmetic on counters. Prefixes are decimal
//! throughout (1 kB = 1000 bytes), as in the configuration's `12MB` and in every link's data sheet.

use std::time::Duration;

const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// A measured rate in bit/s: `94.3 Mbit/s`, `1.25 Gbit/s`, `0 bit/s`.
pub fn rate(bits_per_second: f64) -> String {
    measured(bits_per_second, "bit/s")
}

/// A configured rate in bit/s, without digits that say nothing: `10 Gbit/s`, `2.5 Gbit/s`; `None` is `unlimited`.
pub fn configured_rate(bits_per_second: Option<u64>) -> String {
    match bits_per_second {
        None => "unlimited".to_owned(),
        Some(rate) => exact(rate, "bit/s"),
    }
}

/// A size in bytes: `512 B`, `9.22 kB`, `12.0 MB`.
pub fn size(bytes: u64) -> String {
    if bytes < 1000 { format!("{bytes} B") } else { measured(bytes as f64, "B") }
}

/// A configured size in bytes, without digits that say nothing: `12 MB`, `1.5 MB`.
pub fn configured_size(bytes: u64) -> String {
    exact(bytes, "B")
}

/// A count: exact below ten thousand (`9 870` reads as one number), then `12.3 k`, `4.56 M`.
pub fn count(n: u64) -> String {
    match n {
        0..1000 => n.to_string(),
        1000..10_000 => grouped(n),
        _ => measured(n as f64, ""),
    }
}

/// A count in full, in groups of three: `1 234 567`. For summaries, where the last digit matters.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A ratio of 1 as a percentage with one decimal: `60.1 %`; `None` is `-`.
pub fn share(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio.is_finite() => format!("{:.1} %", ratio * 100.0),
        _ => "-".to_owned(),
    }
}

/// A time: `850 ns`, `12.4 ms`, `3.20 s`, `2 min 5 s`, `3 h 12 min`, `4 d 6 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let pair = |big: u64, small: u64, names: (&str, &str)| match small {
        0 => format!("{big} {}", names.0),
        _ => format!("{big} {} {small} {}", names.0, names.1),
    };
    match seconds {
        0..60 => short_duration(time),
        60..3600 => pair(seconds / 60, seconds % 60, ("min", "s")),
        3600..86_400 => pair(seconds / 3600, seconds % 3600 / 60, ("h", "min")),
        _ => pair(seconds / 86_400, seconds % 86_400 / 3600, ("d", "h")),
    }
}

fn short_duration(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    if time.subsec_nanos() == 0 {
        return format!("{} s", time.as_secs());
    }
    if nanos < 1000.0 {
        return format!("{nanos} ns");
    }
    let (mut value, mut unit) = (nanos / 1e3, "µs");
    for next in ["ms", "s"] {
        if rounds_to_thousand(value) {
            (value, unit) = (value / 1e3, next);
        }
    }
    format!("{} {unit}", three_digits(value))
}

fn measured(mut value: f64, unit: &str) -> String {
    if !value.is_finite() || value < 0.0 {
        return "-".to_owned();
    }
    let mut prefix = 0;
    while rounds_to_thousand(value) && prefix + 1 < PREFIXES.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let number = if prefix == 0 { format!("{value:.0}") } else { three_digits(value) };
    format!("{number} {}{unit}", PREFIXES[prefix]).trim_end().to_owned()
}

fn exact(value: u64, unit: &str) -> String {
    let mut prefix = 0;
    let mut step = 1u64;
    while value / step >= 1000 && prefix + 1 < PREFIXES.len() {
        step *= 1000;
        prefix += 1;
    }
    let fraction = format!("{:0width$}", value % step, width = prefix * 3);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() || prefix == 0 { "" } else { "." };
    let fraction = if prefix == 0 { "" } else { fraction };
    format!("{}{dot}{fraction} {}{unit}", value / step, PREFIXES[prefix])
}

/// Whether three digits would show the value as 1000 or more, so that the next prefix is due.
fn rounds_to_thousand(value: f64) -> bool {
    value >= 999.5
}

/// A measured figure whose unit stands elsewhere: `0.21`, `12.4`, `563`, `1 234`.
pub fn figure(value: f64) -> String {
    if value >= 999.5 { grouped(value.round() as u64) } else { three_digits(value) }
}

fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_three_digits_and_never_show_a_thousand_of_a_unit() {
        let shown = [
            0.0,
            1.0,
            999.4,
            999.6,
            1500.0,
            94_349_000.0,
            99_960_000.0,
            999_600_000.0,
            1.25e9,
            400e9,
            f64::NAN,
            -1.0,
        ]
        .map(rate);
        assert_eq!(
            shown,
            [
                "0 bit/s",
                "1 bit/s",
                "999 bit/s",
                "1.00 kbit/s",
                "1.50 kbit/s",
                "94.3 Mbit/s",
                "100 Mbit/s",
                "1.00 Gbit/s",
                "1.25 Gbit/s",
                "400 Gbit/s",
                "-",
                "-"
            ]
        );
    }

    #[test]
    fn configured_values_lose_no_digit_and_gain_none() {
        let shown = [10_000_000_000, 2_500_000_000, 100, 0, 1_000_001].map(|bps| configured_rate(Some(bps)));
        assert_eq!(shown, ["10 Gbit/s", "2.5 Gbit/s", "100 bit/s", "0 bit/s", "1.000001 Mbit/s"]);
        assert_eq!(configured_rate(None), "unlimited");
        assert_eq!(configured_size(12_000_000), "12 MB");
        assert_eq!(configured_size(u64::MAX), "18.446744073709551615 EB");
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!(
            [0, 999, 1000, 9216, 12_000_000].map(size),
            ["0 B", "999 B", "1.00 kB", "9.22 kB", "12.0 MB"]
        );
        let counts = [0, 999, 1000, 9999, 10_000, 999_999, 4_560_000, u64::MAX].map(count);
        assert_eq!(counts, ["0", "999", "1 000", "9 999", "10.0 k", "1.00 M", "4.56 M", "18.4 E"]);
        assert_eq!([7, 1234, 1_234_567].map(grouped), ["7", "1 234", "1 234 567"]);
    }

    #[test]
    fn shares() {
        assert_eq!(share(Some(0.601)), "60.1 %");
        assert_eq!(share(Some(1.0)), "100.0 %");
        assert_eq!(share(None), "-");
        assert_eq!(share(Some(f64::NAN)), "-");
    }

    #[test]
    fn durations() {
        let nanos =
            [0, 850, 12_400_000, 999_600, 999_999_999, 3_200_000_000].map(Duration::from_nanos).map(duration);
        assert_eq!(nanos, ["0 s", "850 ns", "12.4 ms", "1.00 ms", "1.00 s", "3.20 s"]);
        let seconds = [59, 60, 125, 11_520, 367_200].map(Duration::from_secs).map(duration);
        assert_eq!(seconds, ["59 s", "1 min", "2 min 5 s", "3 h 12 min", "4 d 6 h"]);
    }
}
