//! What is wrong with a configuration file, and where.
//!
//! A [`Diagnostic`] carries everything a person or a program needs; how it is printed is the
//! business of `render`. No rule about what a legal configuration is may enter here.

use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file is used; something in it probably is not meant.
    Warning,
}

/// A place in the file and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Label {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What to say there; may be empty.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one short sentence without a full stop.
    pub title: String,
    /// The file as it was named to `parse`.
    pub file: String,
    /// Where it is; `None` when it is about the file as a whole.
    pub place: Option<Label>,
    /// Another place that has to do with it.
    pub secondary: Option<Label>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub(crate) fn error(span: Range<usize>, title: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), title.into())
    }

    /// A warning at `span`.
    pub(crate) fn warning(span: Range<usize>, title: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), title.into())
    }

    /// An error about the whole file.
    pub(crate) fn error_in_file(title: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, title.into())
    }

    fn new(severity: Severity, span: Option<Range<usize>>, title: String) -> Self {
        Self {
            severity,
            title,
            file: String::new(),
            place: span.map(|span| Label::at(span, String::new())),
            secondary: None,
            help: None,
        }
    }

    /// Says something at the place itself.
    #[must_use]
    pub(crate) fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(place) = &mut self.place {
            place.text = text.into();
        }
        self
    }

    /// Points at another place. `None` (a default, which has no place) adds nothing.
    #[must_use]
    pub(crate) fn also(mut self, span: Option<Range<usize>>, text: impl Into<String>) -> Self {
        self.secondary = span.map(|span| Label::at(span, text.into()));
        self
    }

    /// Says what to write instead.
    #[must_use]
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Fills in file, lines and columns.
    pub(crate) fn locate(&mut self, file: &str, text: &str, lines: &LineStarts) {
        file.clone_into(&mut self.file);
        for label in [&mut self.place, &mut self.secondary].into_iter().flatten() {
            label.locate(text, lines);
        }
    }

    /// Where it begins; findings about the whole file come first.
    pub(crate) fn start(&self) -> usize {
        self.place.as_ref().map_or(0, |place| place.span.start)
    }
}

impl Label {
    fn at(span: Range<usize>, text: String) -> Self {
        Self { span, line: 0, column: 0, text }
    }

    fn locate(&mut self, text: &str, lines: &LineStarts) {
        let start = text.floor_char_boundary(self.span.start);
        let end = text.ceil_char_boundary(self.span.end.max(start));
        self.span = start..end;
        self.line = lines.line_of(start);
        self.column = text[lines.0[self.line - 1]..start].chars().count() + 1;
    }
}

/// Where the lines of a text begin; made once, because a file can have many findings.
pub(crate) struct LineStarts(Vec<usize>);

impl LineStarts {
    pub(crate) fn of(text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self(std::iter::once(0).chain(after_newlines).collect())
    }

    /// The line, from 1, that holds a byte.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at)
    }
}
