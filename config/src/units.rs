//! Rates, sizes and durations as people write them.
//!
//! Arithmetic is exact: a value that is not a whole number of its base unit is an error, never a
//! rounded number, and what `Display` writes parses back to the same value. Nothing here knows
//! TOML or which range a key accepts.

use std::fmt;
use std::str::FromStr;

use crate::model::BitRate;

/// A number of bytes; `12MB` is decimal, `12MiB` binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A duration in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microseconds(pub u64);

/// Why a quantity could not be read. `Display` is the reason; [`UnitError::help`] says what to
/// write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// There is no number in front.
    NotANumber,
    /// The unit is not known; holds the unit and the known ones.
    UnknownUnit(String, &'static str),
    /// A rate in bytes per second; holds the same rate in bits, if it has a short spelling.
    RateInBytes(Option<String>),
    /// A size in bits.
    SizeInBits,
    /// `12M`: decimal or binary is not said.
    AmbiguousSize(String),
    /// A duration without a unit.
    NoUnit(String),
    /// Not a whole number of the base unit (named).
    Fraction(&'static str),
    /// Larger than 64 bits can hold.
    TooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("does not begin with a number"),
            Self::UnknownUnit(unit, _) => write!(f, "unknown unit `{unit}`"),
            Self::RateInBytes(_) => f.write_str("this is in bytes; rates are in bits per second"),
            Self::SizeInBits => f.write_str("this is in bits; sizes are in bytes"),
            Self::AmbiguousSize(_) => f.write_str("decimal or binary?"),
            Self::NoUnit(_) => f.write_str("a duration without a unit"),
            Self::Fraction(base) => write!(f, "not a whole number of {base}"),
            Self::TooLarge => f.write_str("too large"),
        }
    }
}

impl std::error::Error for UnitError {}

impl UnitError {
    /// What to write instead, where that can be told.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownUnit(_, known) => Some(format!("units are {known}")),
            Self::RateInBytes(Some(bits)) => Some(format!("in bits per second it is \"{bits}\"")),
            Self::RateInBytes(None) => Some("multiply by 8 and write Mbit or Gbit".into()),
            Self::SizeInBits => Some("divide by 8 and write KB, MB or GB".into()),
            Self::AmbiguousSize(text) => {
                Some(format!("write \"{text}B\" (decimal) or \"{text}iB\" (binary)"))
            }
            Self::NoUnit(number) => Some(format!("write \"{number}us\", \"{number}ms\" or \"{number}s\"")),
            Self::NotANumber | Self::Fraction(_) | Self::TooLarge => None,
        }
    }
}

const RATE_UNITS: &str = "bit, kbit, Mbit, Gbit, Tbit (per second; also kbps, Mbps, ...)";
const SIZE_UNITS: &str = "B, KB, MB, GB (decimal) and KiB, MiB, GiB (binary)";
const TIME_UNITS: &str = "us, ms, s, min, h";

impl FromStr for BitRate {
    type Err = UnitError;

    /// Reads `10Gbit`, `2.5 Gbit/s`, `1Gbps`, `100M`; a plain number is bits per second.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        let (factor, rest) = prefix(unit);
        match rest {
            "" => {}
            _ if rest.eq_ignore_ascii_case("bit")
                || rest.eq_ignore_ascii_case("bits")
                || rest.eq_ignore_ascii_case("bit/s") => {}
            "b" | "bps" | "b/s" => {}
            "B" | "Bps" | "B/s" | "BPS" | "B/S" => {
                let bits = factor.checked_mul(8).and_then(|f| exact(number, f, "").ok());
                return Err(UnitError::RateInBytes(bits.map(|b| Self(b).to_string())));
            }
            _ => return Err(UnitError::UnknownUnit(unit.into(), RATE_UNITS)),
        }
        exact(number, factor, "bits per second").map(Self)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    /// Reads `12MB` (decimal), `12MiB` (binary), `1.5 KB`; a plain number is bytes.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        let (factor, rest) = prefix(unit);
        let lowercase = unit.chars().all(|c| c.is_ascii_lowercase());
        match rest {
            "" if unit.is_empty() => {}
            "" => return Err(UnitError::AmbiguousSize(format!("{number}{unit}"))),
            "B" => {}
            "b" if lowercase => {}
            "b" => return Err(UnitError::SizeInBits),
            _ if rest.eq_ignore_ascii_case("byte") || rest.eq_ignore_ascii_case("bytes") => {}
            _ if rest.to_ascii_lowercase().starts_with("bit") => return Err(UnitError::SizeInBits),
            _ => return Err(UnitError::UnknownUnit(unit.into(), SIZE_UNITS)),
        }
        exact(number, factor, "bytes").map(Self)
    }
}

impl FromStr for Microseconds {
    type Err = UnitError;

    /// Reads `5ms`, `250us`, `1.5 s`, `5min`, `1h`; a plain number is refused.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "us" | "µs" | "μs" | "usec" => 1,
            "ms" | "msec" => 1_000,
            "s" | "sec" | "seconds" => 1_000_000,
            "min" | "minutes" => 60_000_000,
            "h" | "hours" => 3_600_000_000,
            "" => return Err(UnitError::NoUnit(number.into())),
            _ => return Err(UnitError::UnknownUnit(unit.into(), TIME_UNITS)),
        };
        exact(number, factor, "microseconds").map(Self)
    }
}

/// The number in front and what follows it.
fn split(text: &str) -> Result<(&str, &str), UnitError> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return Err(UnitError::NotANumber);
    }
    Ok((number, unit.trim()))
}

/// The factor of an SI or binary prefix, and what follows it. `bit` and `B` have none.
fn prefix(unit: &str) -> (u64, &str) {
    let power = match unit.chars().next() {
        Some('k' | 'K') => 1,
        Some('m' | 'M') => 2,
        Some('g' | 'G') => 3,
        Some('t' | 'T') => 4,
        _ => return (1, unit),
    };
    match unit[1..].strip_prefix('i') {
        Some(rest) => (1024_u64.pow(power), rest),
        None => (1000_u64.pow(power), &unit[1..]),
    }
}

/// `number` (digits, `_`, at most one `.`) times `factor`, without rounding.
fn exact(number: &str, factor: u64, base: &'static str) -> Result<u64, UnitError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return Err(UnitError::NotANumber);
    }
    let mut value: u128 = 0;
    let digits = whole.bytes().chain(fraction.bytes());
    for digit in digits.filter(u8::is_ascii_digit) {
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(u128::from(digit - b'0')))
            .ok_or(UnitError::TooLarge)?;
    }
    let places = fraction.bytes().filter(u8::is_ascii_digit).count();
    let divisor = u32::try_from(places)
        .ok()
        .and_then(|places| 10_u128.checked_pow(places))
        .ok_or(UnitError::Fraction(base))?;
    let value = value.checked_mul(u128::from(factor)).ok_or(UnitError::TooLarge)?;
    if value % divisor != 0 {
        return Err(UnitError::Fraction(base));
    }
    u64::try_from(value / divisor).map_err(|_| UnitError::TooLarge)
}

/// Writes `value` in the largest of `units` that needs at most three decimals.
fn write_scaled(f: &mut fmt::Formatter<'_>, value: u64, units: &[(u64, &str)]) -> fmt::Result {
    for &(unit, name) in units {
        if value < unit || !value.is_multiple_of((unit / 1000).max(1)) {
            continue;
        }
        let thousandths = value % unit / (unit / 1000).max(1);
        if unit == 1 || thousandths == 0 {
            return write!(f, "{}{name}", value / unit);
        }
        let decimals = format!("{thousandths:03}");
        return write!(f, "{}.{}{name}", value / unit, decimals.trim_end_matches('0'));
    }
    let name = units.last().map_or("", |&(_, name)| name);
    write!(f, "{value}{name}")
}

impl fmt::Display for BitRate {
    /// `10Gbit`, `2.5Gbit`, `1234567bit`: exact, and readable by `FromStr`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(
            f,
            self.0,
            &[
                (1_000_000_000_000, "Tbit"),
                (1_000_000_000, "Gbit"),
                (1_000_000, "Mbit"),
                (1_000, "kbit"),
                (1, "bit"),
            ],
        )
    }
}

impl fmt::Display for ByteSize {
    /// `12MB` or, when it is a whole number of those only, `12MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BINARY: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let decimal = self.0.is_multiple_of(1_000);
        let binary = BINARY.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        if let (false, Some((unit, name))) = (decimal, binary) {
            return write!(f, "{}{name}", self.0 / unit);
        }
        write_scaled(f, self.0, &[(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB"), (1, "B")])
    }
}

impl fmt::Display for Microseconds {
    /// `5ms`, `1.5s`, `250us`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, &[(1_000_000, "s"), (1_000, "ms"), (1, "us")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read_as_written() {
        for (text, bits) in [
            ("10Gbit", 10_000_000_000),
            ("2.5Gbit", 2_500_000_000),
            ("2.5 Gbit/s", 2_500_000_000),
            ("1Gbps", 1_000_000_000),
            ("100Mbit", 100_000_000),
            ("100m", 100_000_000),
            ("1_000", 1_000),
            ("0.5kbit", 500),
            ("1Kibit", 1024),
            ("800GBIT", 800_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(BitRate(bits)), "{text}");
        }
    }

    #[test]
    fn bytes_and_bits_are_not_confused() {
        assert_eq!("1.25GB/s".parse::<BitRate>(), Err(UnitError::RateInBytes(Some("10Gbit".into()))));
        assert_eq!("12Mb".parse::<ByteSize>(), Err(UnitError::SizeInBits));
        assert_eq!("12Mbit".parse::<ByteSize>(), Err(UnitError::SizeInBits));
        assert_eq!("12mb".parse(), Ok(ByteSize(12_000_000)));
        assert_eq!("12MiB".parse(), Ok(ByteSize(12 << 20)));
        assert_eq!("12M".parse::<ByteSize>(), Err(UnitError::AmbiguousSize("12M".into())));
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        assert_eq!("0.3bit".parse::<BitRate>(), Err(UnitError::Fraction("bits per second")));
        assert_eq!("1.5us".parse::<Microseconds>(), Err(UnitError::Fraction("microseconds")));
        assert_eq!("99999999999Tbit".parse::<BitRate>(), Err(UnitError::TooLarge));
        assert_eq!("1.2.3Gbit".parse::<BitRate>(), Err(UnitError::NotANumber));
        assert_eq!("-1Gbit".parse::<BitRate>(), Err(UnitError::NotANumber));
        assert_eq!("5".parse::<Microseconds>(), Err(UnitError::NoUnit("5".into())));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value: u64) {
            prop_assert_eq!(BitRate(value).to_string().parse(), Ok(BitRate(value)));
            prop_assert_eq!(ByteSize(value).to_string().parse(), Ok(ByteSize(value)));
            prop_assert_eq!(Microseconds(value).to_string().parse(), Ok(Microseconds(value)));
        }

        #[test]
        fn round_values_read_back(value in 0_u64..20_000, power in 0_u32..4, binary: bool) {
            let value = value * if binary { 1024_u64 } else { 1000 }.pow(power);
            prop_assert_eq!(BitRate(value).to_string().parse(), Ok(BitRate(value)));
            prop_assert_eq!(ByteSize(value).to_string().parse(), Ok(ByteSize(value)));
            prop_assert_eq!(Microseconds(value).to_string().parse(), Ok(Microseconds(value)));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}", number in "[0-9._]{0,40}", unit in "[kKmMgGtTiIbBpsPS/µ]{0,5}") {
            for text in [text, format!("{number}{unit}")] {
                let _ = text.parse::<BitRate>().map_err(|e| e.to_string());
                let _ = text.parse::<ByteSize>().map_err(|e| e.help());
                let _ = text.parse::<Microseconds>().map_err(|e| e.help());
            }
        }
    }
}
