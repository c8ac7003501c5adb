//! The command line: what a person types and reads.
//!
//! Nothing of the data path enters here; a running switch is asked through its control socket.

pub mod table;
pub mod units;
