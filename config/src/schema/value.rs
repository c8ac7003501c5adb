//! Plain values: integers in a range, booleans, text, words, lists, tables and maps.

use std::ops::Range;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::{Node, Reader, Section, Spell, Value, nearest};
use crate::diagnostic::Diagnostic;

/// An integer in `MIN..=MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Int<const MIN: i64, const MAX: i64>(pub(crate) i64);

/// A priority, 0 to 7.
pub(crate) type Priority = Int<0, 7>;

impl<const MIN: i64, const MAX: i64> Value for Int<MIN, MAX> {
    fn accepts() -> String {
        format!("an integer from {MIN} to {MAX}")
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let DeValue::Integer(integer) = node.get_ref() else {
            cx.wrong_scalar(node, &Self::accepts());
            return None;
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if (MIN..=MAX).contains(&value) => Some(Self(value)),
            _ => {
                cx.refuse(node.span(), "out of range", &Self::accepts());
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: i64, const MAX: i64> Spell for Int<MIN, MAX> {
    fn spell(&self) -> String {
        self.0.to_string()
    }
}

impl Value for bool {
    fn accepts() -> String {
        "true or false".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let value = node.get_ref().as_bool();
        if value.is_none() {
            cx.wrong_scalar(node, &Self::accepts());
        }
        value
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

impl Spell for bool {
    fn spell(&self) -> String {
        self.to_string()
    }
}

/// Text of 1 to 63 characters without control characters: a name that people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Value for Text {
    fn accepts() -> String {
        "text of 1 to 63 characters".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let text = string(node, cx, &Self::accepts())?;
        let complaint = if text.trim().is_empty() {
            "this is empty"
        } else if text.chars().count() > 63 {
            "this is longer"
        } else if text.chars().any(char::is_control) {
            "it has control characters"
        } else {
            return Some(Self(text.to_owned()));
        };
        cx.refuse(node.span(), complaint, &Self::accepts());
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 63 })
    }
}

impl Spell for Text {
    fn spell(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// One of a few words.
pub(crate) trait Word: Copy + Sized + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// A key that holds one of the words of `W`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OneOf<W>(pub(crate) W);

fn words<W: Word>() -> String {
    let words: Vec<_> = W::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    words.join(" or ")
}

impl<W: Word> Value for OneOf<W> {
    fn accepts() -> String {
        words::<W>()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let text = string(node, cx, &Self::accepts())?;
        let known = W::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
        if let Some((_, value)) = known {
            return Some(Self(*value));
        }
        let label = match nearest(text, W::WORDS.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "unknown word".to_owned(),
        };
        cx.refuse(node.span(), label, &Self::accepts());
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = W::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

impl<W: Word + PartialEq> Spell for OneOf<W> {
    fn spell(&self) -> String {
        let word = W::WORDS.iter().find(|(_, value)| *value == self.0);
        format!("{:?}", word.map_or("", |(word, _)| word))
    }
}

/// A list of `T`; a single value stands for a list of one. Each keeps its place.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<(T, Range<usize>)>);

impl<T> List<T> {
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(value, _)| value)
    }
}

impl<T: Value> Value for List<T> {
    fn accepts() -> String {
        format!("{}, or a list of these", T::accepts())
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let Some(array) = node.get_ref().as_array() else {
            return Some(Self(vec![(T::read(node, cx)?, node.span())]));
        };
        // Every element is read, so that each bad one is reported.
        let read: Vec<_> = array.iter().map(|n| Some((T::read(n, cx)?, n.span()))).collect();
        read.into_iter().collect::<Option<_>>().map(Self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let item = T::schema(generator);
        json_schema!({ "anyOf": [item, { "type": "array", "items": item }] })
    }
}

impl<T: Spell> Spell for List<T> {
    fn spell(&self) -> String {
        let items: Vec<_> = self.values().map(Spell::spell).collect();
        format!("[{}]", items.join(", "))
    }
}

/// A table with known keys.
#[derive(Clone, Debug)]
pub(crate) struct Table<S>(pub(crate) S);

impl<S: Section> Value for Table<S> {
    fn accepts() -> String {
        "a table".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let Some(table) = node.get_ref().as_table() else {
            let accepts = format!("a table: {}", S::HEADER);
            cx.wrong_type(node, &accepts);
            return None;
        };
        Some(Self(S::read_keys(table, node.span(), cx)))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        S::object_schema(generator)
    }
}

/// An array of tables: `[[port]]`.
#[derive(Clone, Debug)]
pub(crate) struct Tables<S> {
    pub(crate) items: Vec<S>,
    /// Some element was no table; that was reported.
    pub(crate) incomplete: bool,
}

impl<S: Section> Value for Tables<S> {
    fn accepts() -> String {
        "an array of tables".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        if node.get_ref().is_table() {
            let header = S::HEADER;
            let single = header.replace("[[", "[").replace("]]", "]");
            let title = format!("there can be several {header}");
            cx.report(
                Diagnostic::error(node.span(), title)
                    .label("this makes it a single table")
                    .help(format!("write `{header}` instead of `{single}`")),
            );
            return None;
        }
        let Some(array) = node.get_ref().as_array() else {
            let accepts = format!("an array of tables: {}", S::HEADER);
            cx.wrong_type(node, &accepts);
            return None;
        };
        let key = cx.key;
        let mut items = Vec::with_capacity(array.len());
        for node in array {
            cx.key = key;
            items.extend(Table::<S>::read(node, cx).map(|table| table.0));
        }
        let incomplete = items.len() < array.len();
        Some(Self { items, incomplete })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let item = S::object_schema(generator);
        json_schema!({ "type": "array", "items": item })
    }
}

/// A key of a [`Pairs`] table: TOML keys are text.
pub(crate) trait PairKey: Sized {
    fn accepts() -> &'static str;
    /// A key may stand for several (`"8-15"`).
    fn parse(text: &str) -> Option<Vec<u8>>;
    /// Regular expression of the keys.
    const PATTERN: &'static str;
}

/// A table from small numbers to values: `{ 26 = 3, 46 = 5 }`.
#[derive(Clone, Debug)]
pub(crate) struct Pairs<K, T>(pub(crate) Vec<(u8, T, Range<usize>)>, pub(crate) std::marker::PhantomData<K>);

impl<K: PairKey, T: Value + Clone> Value for Pairs<K, T> {
    fn accepts() -> String {
        format!("a table from {} to {}", K::accepts(), T::accepts())
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let Some(table) = node.get_ref().as_table() else {
            cx.wrong_type(node, &Self::accepts());
            return None;
        };
        let mut pairs: Vec<(u8, T, Range<usize>)> = Vec::new();
        let mut complete = true;
        for (key, value) in table {
            let read = T::read(value, cx);
            let Some(numbers) = K::parse(key.get_ref()) else {
                let accepts = format!("a table whose keys are {}", K::accepts());
                cx.refuse(key.span(), "this key is unknown", &accepts);
                complete = false;
                continue;
            };
            let Some(read) = read else {
                complete = false;
                continue;
            };
            for number in numbers {
                if let Some((_, _, first)) = pairs.iter().find(|(n, ..)| *n == number) {
                    let title = format!("`{}` maps {number} twice", cx.key);
                    let finding = Diagnostic::error(key.span(), title)
                        .label("again here")
                        .also(Some(first.clone()), "first here")
                        .help("remove one of the two");
                    cx.report(finding);
                    complete = false;
                    break;
                }
                pairs.push((number, read.clone(), key.span()));
            }
        }
        complete.then_some(Self(pairs, std::marker::PhantomData))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let value = T::schema(generator);
        json_schema!({
            "type": "object",
            "patternProperties": { K::PATTERN: value },
            "additionalProperties": false,
        })
    }
}

/// The text of a string value.
pub(crate) fn string<'a>(node: &'a Node<'_>, cx: &mut Reader, accepts: &str) -> Option<&'a str> {
    let text = node.get_ref().as_str();
    if text.is_none() {
        cx.wrong_type(node, accepts);
    }
    text
}
