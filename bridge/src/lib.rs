//! The `dcbridge` switch.

pub mod arena;
pub mod bench;
pub mod cli;
pub mod control;
pub mod dcbx;
pub mod edge;
pub mod lab;
pub mod net;
pub mod port;
pub mod runtime;
pub mod sim;
pub mod state;
pub mod switch;
pub mod worker;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
