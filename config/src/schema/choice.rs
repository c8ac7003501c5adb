//! Values that can be written in more than one shape: priorities, matches and VLANs.

use std::ops::Range;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::sections::{MatchSection, VlanSection};
use super::value::{List, Priority};
use super::{Node, Reader, Section, Spell, Value, nearest};
use crate::words::{APPLICATIONS, Application};

/// The priorities of a class.
#[derive(Clone, Debug)]
pub(crate) enum Priorities {
    /// Those that no other class names.
    Rest,
    These(List<Priority>),
}

impl Value for Priorities {
    fn accepts() -> String {
        "a list of priorities from 0 to 7, or \"rest\"".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::String(text) if text.trim().eq_ignore_ascii_case("rest") => Some(Self::Rest),
            DeValue::String(_) => {
                cx.refuse(node.span(), "unknown word", &Self::accepts());
                None
            }
            DeValue::Array(array) if array.is_empty() => {
                cx.refuse(node.span(), "the list is empty", &Self::accepts());
                None
            }
            DeValue::Array(_) | DeValue::Integer(_) => List::read(node, cx).map(Self::These),
            _ => {
                cx.wrong_type(node, &Self::accepts());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let list = List::<Priority>::schema(generator);
        json_schema!({ "anyOf": [list, { "type": "string", "enum": ["rest"] }] })
    }
}

/// The priorities that pauses are sent or obeyed for.
#[derive(Clone, Debug)]
pub(crate) enum PausedPriorities {
    All,
    /// Those of the lossless classes.
    Lossless,
    These(List<Priority>),
}

impl Value for PausedPriorities {
    fn accepts() -> String {
        "a list of priorities from 0 to 7, \"all\" or \"lossless\"".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let Some(text) = node.get_ref().as_str() else {
            return match node.get_ref() {
                DeValue::Array(_) | DeValue::Integer(_) => List::read(node, cx).map(Self::These),
                _ => {
                    cx.wrong_type(node, &Self::accepts());
                    None
                }
            };
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "all" => Some(Self::All),
            "lossless" => Some(Self::Lossless),
            _ => {
                cx.refuse(node.span(), "unknown word", &Self::accepts());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let list = List::<Priority>::schema(generator);
        json_schema!({ "anyOf": [list, { "type": "string", "enum": ["all", "lossless"] }] })
    }
}

impl Spell for PausedPriorities {
    fn spell(&self) -> String {
        match self {
            Self::All => "\"all\"".into(),
            Self::Lossless => "\"lossless\"".into(),
            Self::These(list) => list.spell(),
        }
    }
}

/// A condition that is either asked for or left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yes;

impl Value for Yes {
    fn accepts() -> String {
        "true".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        match node.get_ref().as_bool() {
            Some(true) => Some(Self),
            Some(false) => {
                let accepts = "true; leave the key out when it is not asked";
                cx.refuse(node.span(), "a match cannot ask for the opposite", accepts);
                None
            }
            None => {
                cx.wrong_type(node, &Self::accepts());
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean", "enum": [true] })
    }
}

/// One alternative of a match.
#[derive(Clone)]
pub(crate) enum MatchItem {
    Word(&'static Application),
    Table(Box<MatchSection>),
}

impl std::fmt::Debug for MatchItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(application) => f.write_str(application.word),
            Self::Table(table) => table.fmt(f),
        }
    }
}

/// The match of a policy: any of these.
#[derive(Clone, Debug)]
pub(crate) struct MatchSetting(pub(crate) Vec<(MatchItem, Range<usize>)>);

impl MatchSetting {
    /// Whether it is the word `default` and nothing else.
    pub(crate) fn is_default(&self) -> bool {
        matches!(self.0.as_slice(), [(item, _)] if match item {
            MatchItem::Word(application) => application.word == "default",
            MatchItem::Table(table) => table.default.value().is_some(),
        })
    }
}

impl Value for MatchItem {
    fn accepts() -> String {
        "a table of conditions or the word of an application".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => {
                let findings = cx.findings.len();
                let section = MatchSection::read_keys(table, node.span(), cx);
                // With an unknown or unreadable condition it would match more than it says.
                (cx.findings.len() == findings).then(|| Self::Table(Box::new(section)))
            }
            DeValue::String(text) => {
                let word = text.trim().to_ascii_lowercase().replace([' ', '-'], "_");
                let known = APPLICATIONS.iter().find(|application| application.word == word);
                if known.is_none() {
                    let words: Vec<_> = APPLICATIONS.iter().map(|a| a.word).collect();
                    let label = match nearest(text, words.iter().copied()) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => "unknown application".to_owned(),
                    };
                    let accepts = format!("one of {}, or a table", words.join(", "));
                    cx.refuse(node.span(), label, &accepts);
                }
                known.map(Self::Word)
            }
            _ => {
                cx.wrong_type(node, &Self::accepts());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = APPLICATIONS.iter().map(|a| a.word).collect();
        let table = MatchSection::object_schema(generator);
        json_schema!({ "anyOf": [table, { "type": "string", "enum": words }] })
    }
}

impl Value for MatchSetting {
    fn accepts() -> String {
        "a table of conditions, a word such as \"smb\", or a list of these".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        let list = List::<MatchItem>::read(node, cx)?;
        if list.0.is_empty() {
            cx.refuse(node.span(), "an empty list matches nothing", &Self::accepts());
            return None;
        }
        Some(Self(list.0))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        List::<MatchItem>::schema(generator)
    }
}

/// The VLANs of a port.
#[derive(Clone, Debug)]
pub(crate) enum VlanSetting {
    Transparent,
    Member(Box<VlanSection>),
}

impl Value for VlanSetting {
    fn accepts() -> String {
        "a table such as { pvid = 10, tagged = [\"20-29\"] }, or \"transparent\"".into()
    }

    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => {
                let findings = cx.findings.len();
                let section = VlanSection::read_keys(table, node.span(), cx);
                // With an unknown key, what it carries is not known either.
                (cx.findings.len() == findings).then(|| Self::Member(Box::new(section)))
            }
            DeValue::String(text) if text.trim() == "transparent" => Some(Self::Transparent),
            DeValue::String(_) => {
                cx.refuse(node.span(), "unknown word", &Self::accepts());
                None
            }
            _ => {
                cx.wrong_type(node, &Self::accepts());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let table = VlanSection::object_schema(generator);
        json_schema!({ "anyOf": [table, { "type": "string", "enum": ["transparent"] }] })
    }
}

impl Spell for VlanSetting {
    fn spell(&self) -> String {
        "\"transparent\"".into()
    }
}
