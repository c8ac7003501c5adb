//! Why a port could not be opened.

use std::fmt;

/// A sentence that says what is wrong and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenError(String);

impl OpenError {
    /// An error that reads `sentence`.
    pub(crate) fn new(sentence: impl Into<String>) -> OpenError {
        OpenError(sentence.into())
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

impl From<crate::net::Error> for OpenError {
    fn from(error: crate::net::Error) -> OpenError {
        OpenError(error.to_string())
    }
}
