//! The schema of the TOML file: one declaration from which the reader, the JSON schema and the
//! reference page are made.
//!
//! `section!` declares a section with its keys, their types, defaults and documentation. A type
//! that a key can have implements [`Value`]. Reading never stops at the first error: a value that
//! cannot be read becomes [`Opt::Bad`], so that later checks know not to build on it. Rules that
//! look at more than one value belong to `check`.

pub(crate) mod choice;
pub(crate) mod dcbx;
pub(crate) mod network;
pub(crate) mod quantity;
pub(crate) mod sections;
pub(crate) mod value;
pub(crate) mod worker;

use std::ops::Range;

use schemars::{Schema, SchemaGenerator};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;

/// A value of the file with its place.
pub(crate) type Node<'a> = Spanned<DeValue<'a>>;

/// A type that a key can have.
pub(crate) trait Value: Sized {
    /// What is accepted, as it completes "must be ...".
    fn accepts() -> String;
    /// Reads a value; what is wrong with it is reported, and the answer is `None`.
    fn read(node: &Node<'_>, cx: &mut Reader) -> Option<Self>;
    /// Its JSON schema.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// A value that has a spelling in TOML; needed for defaults.
pub(crate) trait Spell {
    fn spell(&self) -> String;
}

/// A readable value and its place; `span` is `None` for a default.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Option<Range<usize>>,
    /// The file has a value that could not be read, this is the default in its stead.
    pub(crate) bad: bool,
}

/// A key without a default of its own.
#[derive(Clone, Debug)]
pub(crate) enum Opt<T> {
    Missing,
    /// It is there, could not be read, and that was reported.
    Bad,
    Given(T, Range<usize>),
}

impl<T> Opt<T> {
    pub(crate) fn given(&self) -> Option<(&T, Range<usize>)> {
        match self {
            Self::Given(value, span) => Some((value, span.clone())),
            _ => None,
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|(value, _)| value)
    }

    pub(crate) fn span(&self) -> Option<Range<usize>> {
        self.given().map(|(_, span)| span)
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad)
    }

    /// This value, or the other when this one is not in the file.
    pub(crate) fn or<'a>(&'a self, other: &'a Self) -> &'a Self {
        if matches!(self, Self::Missing) { other } else { self }
    }
}

/// What the file says of a key that has a default.
pub(crate) enum KeyDefault {
    Required,
    /// The default as it would be written in the file.
    Value(String),
    /// The default in words.
    Words(&'static str),
}

/// One key, as the reader, the JSON schema and the reference page know it.
pub(crate) struct KeySpec {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) accepts: String,
    pub(crate) default: KeyDefault,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// A table with known keys.
pub(crate) trait Section: Sized {
    /// How it is written, e.g. `[[port]]`.
    const HEADER: &'static str;
    const DOC: &'static str;
    fn keys() -> Vec<KeySpec>;
    fn read_keys(table: &DeTable<'_>, place: Range<usize>, cx: &mut Reader) -> Self;

    /// The section as if it were in the file without any key.
    fn defaults() -> Self {
        Self::read_keys(&DeTable::new(), 0..0, &mut Reader::new(true))
    }

    /// The section as a JSON schema.
    fn object_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        let mut required = Vec::new();
        for key in Self::keys() {
            let mut schema = (key.schema)(generator);
            let mut description = key.doc.to_owned();
            match key.default {
                KeyDefault::Required => required.push(key.name),
                KeyDefault::Value(value) => {
                    schema.insert("default".into(), as_json(&value));
                }
                KeyDefault::Words(words) => description = format!("{description}\n\nDefault: {words}"),
            }
            schema.insert("description".into(), description.into());
            properties.insert(key.name.into(), schema.into());
        }
        schemars::json_schema!({
            "type": "object",
            "description": Self::DOC,
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}

/// A default, as it is spelled in TOML, in JSON.
fn as_json(spelled: &str) -> serde_json::Value {
    let table: Option<serde_json::Value> = toml::from_str(&format!("value = {spelled}")).ok();
    table.map_or(serde_json::Value::Null, |table| table["value"].clone())
}

/// Why a value is refused.
pub(crate) struct Complaint {
    /// What is wrong, shown at the value.
    label: String,
    /// The text that was probably meant.
    instead: Option<String>,
}

impl<T: Into<String>> From<T> for Complaint {
    fn from(label: T) -> Self {
        Self { label: label.into(), instead: None }
    }
}

impl Complaint {
    /// A complaint that knows what to write.
    pub(crate) fn instead(label: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { label: label.into(), instead: Some(instead.into()) }
    }
}

/// Collects findings while the file is read and checked.
pub(crate) struct Reader {
    pub(crate) findings: Vec<Diagnostic>,
    /// The key that is being read, for titles.
    pub(crate) key: &'static str,
    /// Keys may be missing because the text around them could not be parsed: don't ask for them.
    broken: bool,
}

impl Reader {
    pub(crate) fn new(broken: bool) -> Self {
        Self { findings: Vec::new(), key: "", broken }
    }

    pub(crate) fn report(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, accepts: &str) {
        let found = match node.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let title = format!("`{}` has the wrong type", self.key);
        self.report(
            Diagnostic::error(node.span(), title)
                .label(format!("this is {found}"))
                .help(format!("it must be {accepts}")),
        );
    }

    /// Reports a value of the right type that is not accepted.
    pub(crate) fn refuse(&mut self, span: Range<usize>, why: impl Into<Complaint>, accepts: &str) {
        let title = format!("`{}` is not accepted", self.key);
        let Complaint { label, instead } = why.into();
        let help = match instead {
            Some(instead) => format!("write \"{instead}\""),
            None => format!("it must be {accepts}"),
        };
        self.report(Diagnostic::error(span, title).label(label).help(help));
    }

    /// Reports a value that is not the number or boolean it should be; perhaps it is only quoted.
    pub(crate) fn wrong_scalar(&mut self, node: &Node<'_>, accepts: &str) {
        let bare = match node.get_ref().as_str().map(str::trim) {
            Some("true" | "yes" | "on") if accepts.contains("true") => "true",
            Some("false" | "no" | "off") if accepts.contains("false") => "false",
            Some(text) if accepts.contains("integer") && text.parse::<i64>().is_ok() => text,
            _ => return self.wrong_type(node, accepts),
        };
        let title = format!("`{}` has the wrong type", self.key);
        let finding = Diagnostic::error(node.span(), title).label("this is a string");
        self.report(finding.help(format!("write {bare} without quotes")));
    }

    /// Reads a key that has no default of its own.
    fn optional<T: Value>(&mut self, table: &DeTable<'_>, key: &'static str) -> Opt<T> {
        let Some(node) = table.get(key) else {
            return Opt::Missing;
        };
        self.key = key;
        match T::read(node, self) {
            Some(value) => Opt::Given(value, node.span()),
            None => Opt::Bad,
        }
    }

    /// Reads a key that must be there.
    fn required<T: Value>(
        &mut self,
        table: &DeTable<'_>,
        key: &'static str,
        place: &Range<usize>,
        header: &str,
    ) -> Opt<T> {
        let opt = self.optional(table, key);
        if matches!(opt, Opt::Missing) {
            if !self.broken {
                let finding = if header.is_empty() {
                    Diagnostic::error_in_file(format!("the file has no `[[{key}]]`"))
                        .help(format!("add at least one `[[{key}]]`"))
                } else {
                    Diagnostic::error(place.clone(), format!("{header} without `{key}`"))
                        .label(format!("`{key}` is missing"))
                        .help(format!("add `{key} = ...`: {}", T::accepts()))
                };
                self.report(finding);
            }
            return Opt::Bad;
        }
        opt
    }

    /// Reads a key that has a default.
    fn defaulted<T: Value>(&mut self, table: &DeTable<'_>, key: &'static str, value: T) -> At<T> {
        match self.optional(table, key) {
            Opt::Given(value, span) => At { value, span: Some(span), bad: false },
            Opt::Missing => At { value, span: None, bad: false },
            Opt::Bad => At { value, span: None, bad: true },
        }
    }

    /// Reports the keys of `table` that are not known.
    fn unknown_keys(&mut self, table: &DeTable<'_>, header: &str, known: &[KeySpec]) {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if known.iter().any(|spec| spec.name == name) {
                continue;
            }
            let names: Vec<_> = known.iter().map(|spec| spec.name).collect();
            let place = if header.is_empty() { String::new() } else { format!(" in {header}") };
            let mut finding = Diagnostic::error(key.span(), format!("unknown key `{name}`{place}"));
            let near = nearest(name, names.iter().copied());
            let near = known.iter().find(|spec| Some(spec.name) == near);
            finding = match (near, sections::home_of(name, header)) {
                (Some(near), _) => finding
                    .label(format!("did you mean `{}`?", near.name))
                    .help(format!("`{}` must be {}", near.name, near.accepts)),
                (None, Some(home)) => {
                    finding.label("not a key of this section").help(format!("`{name}` belongs into {home}"))
                }
                (None, None) => finding
                    .label("not a key of this section")
                    .help(format!("known keys are: {}", names.join(", "))),
            };
            self.report(finding);
        }
    }
}

/// The known word that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let simple = |text: &str| text.to_lowercase().replace(['-', ' ', '.'], "_");
    let word = simple(word);
    let distance = |candidate: &str| {
        // One word more or less: `buffer_size` for `buffer`.
        let longer = word.strip_prefix(candidate).is_some_and(|rest| rest.starts_with('_'));
        let shorter = candidate.strip_prefix(&word).is_some_and(|rest| rest.starts_with('_'));
        if longer || shorter { 1 } else { strsim::damerau_levenshtein(&word, &simple(candidate)) }
    };
    known
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(3)) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `type` of a key that is a Rust keyword: `r#type`.
pub(crate) fn key_name(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// Declares a section. After each key's type comes what holds when it is left out: `: required`,
/// `= value` (the default; the key is then always there) or `=> "words"` (the default in words).
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        struct $name:ident in $header:literal {
            $( $(#[doc = $key_doc:literal])* $key:ident : $type:ty $(: $required:ident)?
               $(=> $words:literal)? $(= $default:expr)? ;)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            /// Where the section is: its header.
            #[allow(dead_code, reason = "not every section is pointed at as a whole")]
            pub(crate) place: std::ops::Range<usize>,
            $( $(#[doc = $key_doc])* pub(crate) $key:
               $crate::schema::section!(@field $type $(, default $default)?), )*
        }

        impl $crate::schema::Section for $name {
            const HEADER: &'static str = $header;
            const DOC: &'static str = concat!($($doc, "\n"),*).trim_ascii();

            fn keys() -> Vec<$crate::schema::KeySpec> {
                vec![$( $crate::schema::KeySpec {
                    name: $crate::schema::key_name(stringify!($key)),
                    doc: concat!($($key_doc, "\n"),*).trim_ascii(),
                    accepts: <$type as $crate::schema::Value>::accepts(),
                    default: $crate::schema::section!(
                        @default $type $(, value $default)? $(, words $words)? $(, $required)?),
                    schema: <$type as $crate::schema::Value>::schema,
                } ),*]
            }

            fn read_keys(
                table: &toml::de::DeTable<'_>,
                place: std::ops::Range<usize>,
                cx: &mut $crate::schema::Reader,
            ) -> Self {
                let outer = std::mem::take(&mut cx.key);
                cx.unknown_keys(table, $header, &Self::keys());
                let section = Self {
                    $( $key: $crate::schema::section!(
                        @read cx, table, place, $header,
                        $crate::schema::key_name(stringify!($key))
                        $(, value $default)? $(, words $words)? $(, $required)?), )*
                    place,
                };
                cx.key = outer;
                section
            }
        }
    };
    (@field $type:ty, default $default:expr) => { $crate::schema::At<$type> };
    (@field $type:ty) => { $crate::schema::Opt<$type> };
    (@default $type:ty, value $default:expr) => {
        $crate::schema::KeyDefault::Value(<$type as $crate::schema::Spell>::spell(&$default))
    };
    (@default $type:ty, words $words:literal) => { $crate::schema::KeyDefault::Words($words) };
    (@default $type:ty, required) => { $crate::schema::KeyDefault::Required };
    (@read $cx:ident, $table:ident, $place:ident, $header:literal, $key:expr, value $default:expr) => {
        $cx.defaulted($table, $key, $default)
    };
    (@read $cx:ident, $table:ident, $place:ident, $header:literal, $key:expr, words $words:literal) => {
        $cx.optional($table, $key)
    };
    (@read $cx:ident, $table:ident, $place:ident, $header:literal, $key:expr, required) => {
        $cx.required($table, $key, &$place, $header)
    };
}
pub(crate) use section;
