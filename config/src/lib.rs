//! The configuration of dcbridge: a TOML file becomes a checked [`Config`], or a list of
//! [`Diagnostic`]s that say what is wrong, where, and what to write instead.
//!
//! No I/O: text comes in, values go out. `schema` declares what can be written, `check` knows the
//! rules between values, `model` is what the rest of the program reads.

pub mod diagnostic;
pub mod diff;
pub mod model;
pub mod units;

mod check;
mod display;
mod plan;
mod queries;
mod reference;
mod render;
mod schema;
mod words;

pub use diagnostic::{Diagnostic, Label, Severity};
pub use diff::{Change, diff};
pub use model::*;
pub use plan::{
    BufferPlan, CELL_BYTES, group_headroom, lossless_capacity, lossless_headroom, port_headroom, set_apart,
};
pub use reference::{json_schema, reference_markdown};
pub use render::{render, summary};

use std::collections::HashSet;

use toml::de::DeTable;

use diagnostic::LineStarts;
use schema::sections::File;
use schema::{Reader, Section};

/// Longest text that is read; a switch with every port and policy that it can have needs less.
const TEXT_MAX: usize = 1 << 20;

/// Reads a configuration. `file` is the name under which findings show the text.
///
/// The answer comes with warnings. On errors it is the list of all findings, errors and warnings,
/// in the order of the file.
///
/// ```
/// let text = "[[port]]\nname = \"tap0\"\n[[port]]\nname = \"tap1\"\nmtu = 99\n";
/// let findings = dcbridge_config::parse(text, "dcbridge.toml").unwrap_err();
/// let place = findings[0].place.as_ref().unwrap();
/// assert_eq!((place.line, place.column, &text[place.span.clone()]), (5, 7, "99"));
/// println!("{}", dcbridge_config::render(&findings, text, false));
/// ```
///
/// # Errors
/// Everything that is wrong with the text, not only the first thing.
pub fn parse(text: &str, file: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    match parse_to_plan(text, file) {
        (Some(config), findings) if findings.iter().all(|f| f.severity == Severity::Warning) => {
            Ok((config, findings))
        }
        (_, findings) => Err(findings),
    }
}

/// Reads a configuration whose buffer may be too small for what it promises, so that its [`BufferPlan`] can be shown.
///
/// The configuration is there unless something else is wrong; the findings are those of [`parse`].
pub fn parse_to_plan(text: &str, file: &str) -> (Option<Config>, Vec<Diagnostic>) {
    let lines = LineStarts::of(text);
    let (config, mut findings) = read(text, &lines);
    for finding in &mut findings {
        finding.locate(file, text, &lines);
    }
    // What is wrong with a default is found again at every port.
    let mut seen = HashSet::new();
    findings.retain(|finding| seen.insert(finding.clone()));
    findings.sort_by_key(Diagnostic::start);
    (config, findings)
}

/// The configuration, unless something but the size of its buffer is wrong, and all findings.
fn read(text: &str, lines: &LineStarts) -> (Option<Config>, Vec<Diagnostic>) {
    if text.len() > TEXT_MAX {
        let title = format!("the file is larger than {}", units::ByteSize(TEXT_MAX as u64));
        let finding = Diagnostic::error_in_file(title);
        return (None, vec![finding.help("is this a configuration of dcbridge?")]);
    }
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    let mut cx = Reader::new(!syntax_errors.is_empty());
    let file = File::read_keys(table.get_ref(), 0..0, &mut cx);
    if syntax_errors.is_empty() {
        let config = check::check(&file, &mut cx);
        return (config, cx.findings);
    }
    // What could be read around the errors is shown; rules between values would only be guesses
    // about what the unreadable part said.
    let broken: HashSet<_> =
        syntax_errors.iter().map(|error| lines.line_of(syntax_span(error, text).start)).collect();
    cx.findings.retain(|finding| !broken.contains(&lines.line_of(finding.start())));
    cx.findings.extend(syntax_errors.iter().map(|error| syntax_error(error, text)));
    (None, cx.findings)
}

fn syntax_span(error: &toml::de::Error, text: &str) -> std::ops::Range<usize> {
    error.span().unwrap_or(text.len()..text.len())
}

/// An error of the TOML grammar, in the same form as the others.
fn syntax_error(error: &toml::de::Error, text: &str) -> Diagnostic {
    let span = syntax_span(error, text);
    let message = error.message();
    let word = text.get(span.clone()).unwrap_or_default();
    if message.starts_with("string values must be quoted") && !word.is_empty() {
        return Diagnostic::error(span, "this is not TOML: text without quotes")
            .label("text needs quotes")
            .help(format!("write {word:?}"));
    }
    if message.starts_with("duplicate key") {
        return Diagnostic::error(span, format!("`{word}` is defined twice"))
            .label("again here")
            .help("remove one of the two, or write `[[...]]` where several tables are meant");
    }
    Diagnostic::error(span, format!("this is not TOML: {message}"))
}
