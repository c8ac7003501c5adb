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
mod queries;
mod render;
mod schema;
mod words;

pub use check::BufferPlan;
pub use diagnostic::{Diagnostic, Label, Severity};
pub use diff::{Change, diff};
pub use model::*;
pub use render::{render, summary};

use toml::de::DeTable;

use schema::sections::File;
use schema::{Reader, Section};

/// Reads a configuration. `file` is the name under which findings show the text.
///
/// The answer comes with warnings. On errors it is the list of all findings, errors and warnings,
/// in the order of the file.
///
/// # Errors
/// Everything that is wrong with the text, not only the first thing.
pub fn parse(text: &str, file: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    let broken = !syntax_errors.is_empty();
    let mut cx = Reader::new(broken);
    let read = File::read_keys(table.get_ref(), 0..0, &mut cx);
    let config = if broken {
        // What could be read around the errors is shown; rules between values would only be
        // guesses about what the unreadable part said.
        let lines: Vec<_> = syntax_errors.iter().map(|e| line_of(text, syntax_span(e, text).start)).collect();
        cx.findings.retain(|finding| !lines.contains(&line_of(text, finding.start())));
        cx.findings.extend(syntax_errors.iter().map(|error| syntax_error(error, text)));
        None
    } else {
        Some(check::check(&read, &mut cx))
    };
    let mut findings = cx.findings;
    for finding in &mut findings {
        finding.locate(file, text);
    }
    findings.sort_by_key(Diagnostic::start);
    match config {
        Some(config) if findings.iter().all(|f| f.severity == Severity::Warning) => Ok((config, findings)),
        _ => Err(findings),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

fn syntax_span(error: &toml::de::Error, text: &str) -> std::ops::Range<usize> {
    error.span().unwrap_or(text.len()..text.len())
}

/// An error of the TOML grammar, in the same form as the others.
fn syntax_error(error: &toml::de::Error, text: &str) -> Diagnostic {
    let span = syntax_span(error, text);
    let message = error.message();
    let finding = Diagnostic::error(span.clone(), format!("this is not TOML: {message}"));
    let word = text.get(span).unwrap_or_default();
    if message.starts_with("string values must be quoted") && !word.is_empty() {
        return finding.label("text needs quotes").help(format!("write \"{word}\""));
    }
    if message.starts_with("duplicate key") {
        return finding
            .label("again here")
            .help("remove one of the two, or write `[[...]]` for several tables");
    }
    finding
}
