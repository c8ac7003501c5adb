//! Findings as text for a terminal.

use std::fmt::Write;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};

/// Nobody reads further, and each one is rendered against the whole text.
const SHOWN_MAX: usize = 100;

/// Shows findings beside the lines that they are about, and ends with a count such as
/// "3 errors, 1 warning". `text` is the file they were found in. Without `color` the result is
/// plain ASCII art without escape sequences.
///
/// At most a hundred findings are shown; the count at the end is of all.
pub fn render(diagnostics: &[Diagnostic], text: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(SHOWN_MAX) {
        out.push_str(&renderer.render(&[group(diagnostic, text)]));
        out.push_str("\n\n");
    }
    if let Some(more @ 1..) = diagnostics.len().checked_sub(SHOWN_MAX) {
        let _ = write!(out, "... and {more} more\n\n");
    }
    out.push_str(&summary(diagnostics));
    out.push('\n');
    out
}

fn group<'a>(diagnostic: &'a Diagnostic, text: &'a str) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.title.as_str()));
    if let Some(place) = &diagnostic.place {
        let within = |end: usize| end.min(text.len());
        let mut primary = AnnotationKind::Primary.span(within(place.span.start)..within(place.span.end));
        if !place.text.is_empty() {
            primary = primary.label(place.text.as_str());
        }
        let mut snippet = Snippet::source(text).path(diagnostic.file.as_str()).annotation(primary);
        if let Some(other) = &diagnostic.secondary {
            let span = within(other.span.start)..within(other.span.end);
            let context = AnnotationKind::Context.span(span).label(other.text.as_str());
            snippet = snippet.annotation(context);
        }
        group = group.element(snippet);
    } else {
        group = group.element(annotate_snippets::Origin::path(diagnostic.file.as_str()));
    }
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// "3 errors, 1 warning", "1 error", "no errors".
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let plural = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        _ => format!("{n} {word}s"),
    };
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "no errors".to_owned(),
        (errors, 0) => plural(errors, "error"),
        (0, warnings) => plural(warnings, "warning"),
        (errors, warnings) => {
            format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
        }
    }
}
