//! The `dcbridge` switch.

pub mod arena;
pub mod net;
pub mod port;
pub mod runtime;
pub mod sim;
pub mod state;
pub mod switch;
pub mod worker;
