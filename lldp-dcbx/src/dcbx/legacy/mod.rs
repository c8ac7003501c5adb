//! CEE 1.01 and CIN: the same rules over two encodings.
//!
//! ```text
//! peer       the peer's TLV in one form for both dialects
//! rules      the decision table of a feature
//! convert    local tables <-> priority groups, bandwidth groups and application lists
//! evaluate   the table applied to all features of a port, and the TLV to send
//! handshake  sequence and acknowledge numbers
//! ```

pub(crate) mod convert;
pub(crate) mod evaluate;
pub(crate) mod handshake;
pub mod peer;
pub mod rules;
