//! Network namespaces and links: what the control side changes in a host before frames flow.
//!
//! All of it blocks and most of it needs privilege, so nothing here may be called by a data-path worker. A namespace
//! belongs to a thread; therefore whatever is to happen in another one happens on a thread of its own.
//!
//! What must not enter: frames, ports, configuration.

use std::fmt;
use std::io;

mod features;
mod link;
mod netns;
pub mod sysctl;
mod veth;

pub use features::{Feature, Features};
pub use link::{LinkInfo, Links};
pub use netns::{Netns, NetnsRef, in_netns};
pub use veth::{VethEnd, VethPair};

/// Why a change in the network failed: a sentence for a person, and what the kernel said.
#[derive(Debug)]
pub struct Error {
    what: String,
    source: Option<io::Error>,
}

/// Result of the operations in this room.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `what` failed because of `source`.
    pub(crate) fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error { what: what.into(), source: Some(source.into()) }
    }

    /// A failure that the kernel was not asked about.
    pub(crate) fn plain(what: impl Into<String>) -> Error {
        Error { what: what.into(), source: None }
    }

    /// What the kernel said, for callers that decide by it.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        self.source.as_ref().map(io::Error::kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, ": {e}; this needs root or CAP_NET_ADMIN (and CAP_SYS_ADMIN for other namespaces)")
            }
            Some(e) => write!(f, ": {e}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
