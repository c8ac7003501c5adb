//! Rates, sizes and durations as values of keys.

use std::fmt::Display;
use std::str::FromStr;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::value::{OneOf, Word};
use super::{Node, Reader, Spell, Value};
use crate::diagnostic::Diagnostic;
use crate::model::BitRate;
use crate::units::{ByteSize, Microseconds, UnitError};

/// A rate in `MIN..=MAX` bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate<const MIN: u64, const MAX: u64>(pub(crate) BitRate);

/// A rate, or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateOrUnlimited<const MIN: u64, const MAX: u64>(pub(crate) Option<BitRate>);

/// A size in `MIN..=MAX` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A duration of `MIN..=MAX` seconds; a plain integer is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A duration of `MIN..=MAX` microseconds; it needs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Micros<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A duration of `MIN..=MAX` whole milliseconds; it needs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis<const MIN: u64, const MAX: u64>(pub(crate) u32);

/// A duration of `MIN..=MAX` microseconds, or a word of `W` in its stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MicrosOr<W, const MIN: u64, const MAX: u64> {
    Word(W),
    Micros(u64),
}

/// Reads a quantity from a string or a plain integer, without looking at its range.
fn read<Q>(node: &Node<'_>, cx: &mut Reader, accepts: &str) -> Option<Q>
where
    Q: FromStr<Err = UnitError>,
{
    let result = match node.get_ref() {
        DeValue::String(text) => text.parse(),
        DeValue::Integer(integer) => match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => value.to_string().parse(),
            Err(_) if integer.as_str().starts_with('-') => {
                cx.refuse(node.span(), "this is negative", accepts);
                return None;
            }
            Err(_) => Err(UnitError::TooLarge),
        },
        _ => {
            cx.wrong_type(node, accepts);
            return None;
        }
    };
    result
        .map_err(|error| {
            let title = format!("`{}` is not accepted", cx.key);
            let help = error.help().unwrap_or_else(|| format!("it must be {accepts}"));
            let finding = Diagnostic::error(node.span(), title).label(error.to_string());
            cx.report(finding.help(help));
        })
        .ok()
}

/// Refuses what is outside of `min..=max`.
fn within<Q: PartialOrd + Display + Copy>(
    node: &Node<'_>,
    cx: &mut Reader,
    value: Q,
    range: (Q, Q),
    accepts: &str,
) -> Option<Q> {
    let label = if value < range.0 {
        format!("the least is {}", range.0)
    } else if value > range.1 {
        format!("the most is {}", range.1)
    } else {
        return Some(value);
    };
    cx.refuse(node.span(), label, accepts);
    None
}

fn text_or_integer(pattern: &str) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "string", "pattern": pattern },
        { "type": "integer", "minimum": 0 },
    ] })
}

impl<const MIN: u64, const MAX: u64> Value for Rate<MIN, MAX> {
    fn accepts() -> String {
        let (min, max) = (BitRate(MIN), BitRate(MAX));
        format!("a rate such as \"100Mbit\", from {min} to {max}")
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let accepts = Self::accepts();
        let rate = read(node, cx, &accepts)?;
        within(node, cx, rate, (BitRate(MIN), BitRate(MAX)), &accepts).map(Self)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        text_or_integer(r"^\s*[0-9][0-9_.]*\s*([kKmMgGtT]i?)?([bB][iI][tT]s?(/s)?|b|bps|b/s)?\s*$")
    }
}

impl<const MIN: u64, const MAX: u64> Value for RateOrUnlimited<MIN, MAX> {
    fn accepts() -> String {
        let (min, max) = (BitRate(MIN), BitRate(MAX));
        format!("a rate such as \"10Gbit\", from {min} to {max}, or \"unlimited\"")
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let text = node.get_ref().as_str().unwrap_or_default().trim();
        if text.eq_ignore_ascii_case("unlimited") {
            return Some(Self(None));
        }
        let accepts = Self::accepts();
        let rate = read(node, cx, &accepts)?;
        within(node, cx, rate, (BitRate(MIN), BitRate(MAX)), &accepts).map(|rate| Self(Some(rate)))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = Rate::<MIN, MAX>::schema(generator);
        json_schema!({ "anyOf": [rate, { "type": "string", "enum": ["unlimited"] }] })
    }
}

impl<const MIN: u64, const MAX: u64> Spell for RateOrUnlimited<MIN, MAX> {
    fn spell(&self) -> String {
        self.0.map_or_else(|| "\"unlimited\"".into(), |rate| format!("\"{rate}\""))
    }
}

impl<const MIN: u64, const MAX: u64> Value for Bytes<MIN, MAX> {
    fn accepts() -> String {
        let (min, max) = (ByteSize(MIN), ByteSize(MAX));
        format!("a size such as \"200KB\" or \"12MiB\", from {min} to {max}")
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let accepts = Self::accepts();
        let size = read(node, cx, &accepts)?;
        within(node, cx, size, (ByteSize(MIN), ByteSize(MAX)), &accepts).map(|size| Self(size.0))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        text_or_integer(r"^\s*[0-9][0-9_.]*\s*([kKmMgGtT]i?)?([bB]|[bB]ytes?)?\s*$")
    }
}

impl<const MIN: u64, const MAX: u64> Spell for Bytes<MIN, MAX> {
    fn spell(&self) -> String {
        format!("\"{}\"", ByteSize(self.0))
    }
}

impl<const MIN: u64, const MAX: u64> Value for Seconds<MIN, MAX> {
    fn accepts() -> String {
        format!("seconds, from {MIN} to {MAX}, or a duration such as \"5min\"")
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let accepts = Self::accepts();
        let value = if let DeValue::Integer(_) = node.get_ref() {
            read::<ByteSize>(node, cx, &accepts)?.0
        } else {
            let Microseconds(value) = read(node, cx, &accepts)?;
            if !value.is_multiple_of(1_000_000) {
                cx.refuse(node.span(), "not a whole number of seconds", &accepts);
                return None;
            }
            value / 1_000_000
        };
        within(node, cx, value, (MIN, MAX), &accepts).map(Self)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "pattern": DURATION },
        ] })
    }
}

const DURATION: &str = r"^\s*[0-9][0-9_.]*\s*(us|µs|usec|ms|msec|s|sec|seconds|min|minutes|h|hours)\s*$";

impl<const MIN: u64, const MAX: u64> Spell for Seconds<MIN, MAX> {
    fn spell(&self) -> String {
        self.0.to_string()
    }
}

impl<const MIN: u64, const MAX: u64> Value for Micros<MIN, MAX> {
    fn accepts() -> String {
        let (min, max) = (Microseconds(MIN), Microseconds(MAX));
        format!("a duration such as \"5ms\", from {min} to {max}")
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let accepts = Self::accepts();
        let value = read(node, cx, &accepts)?;
        let range = (Microseconds(MIN), Microseconds(MAX));
        within(node, cx, value, range, &accepts).map(|value| Self(value.0))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION })
    }
}

impl<const MIN: u64, const MAX: u64> Spell for Micros<MIN, MAX> {
    fn spell(&self) -> String {
        format!("\"{}\"", Microseconds(self.0))
    }
}

impl<const MIN: u64, const MAX: u64> Value for Millis<MIN, MAX> {
    fn accepts() -> String {
        let range = (Microseconds(MIN * 1000), Microseconds(MAX * 1000));
        format!("a duration in whole milliseconds such as \"200ms\", from {} to {}", range.0, range.1)
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let accepts = Self::accepts();
        let value: Microseconds = read(node, cx, &accepts)?;
        let range = (Microseconds(MIN * 1000), Microseconds(MAX * 1000));
        let Microseconds(value) = within(node, cx, value, range, &accepts)?;
        if !value.is_multiple_of(1000) {
            cx.refuse(node.span(), "not a whole number of milliseconds", &accepts);
            return None;
        }
        Some(Self((value / 1000) as u32))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION })
    }
}

impl<const MIN: u64, const MAX: u64> Spell for Millis<MIN, MAX> {
    fn spell(&self) -> String {
        format!("\"{}\"", Microseconds(u64::from(self.0) * 1000))
    }
}

impl<W: Word, const MIN: u64, const MAX: u64> Value for MicrosOr<W, MIN, MAX> {
    fn accepts() -> String {
        format!("{}, or {}", Micros::<MIN, MAX>::accepts(), OneOf::<W>::accepts())
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let text = node.get_ref().as_str().unwrap_or_default().trim();
        if let Some((_, word)) = W::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            return Some(Self::Word(*word));
        }
        let accepts = Self::accepts();
        let value = read(node, cx, &accepts)?;
        let range = (Microseconds(MIN), Microseconds(MAX));
        within(node, cx, value, range, &accepts).map(|value| Self::Micros(value.0))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let word = OneOf::<W>::schema(generator);
        json_schema!({ "anyOf": [word, { "type": "string", "pattern": DURATION }] })
    }
}
