//! LLDP and DCBX of a running switch: one agent per port, what they hear and say, and what comes of it.
//!
//! ```text
//!                 frames, links                         frames to send, neighbours,
//!   worker ---------------------> task -> agents ------ operations ----------------> worker
//!                                  ^         |
//!             state for people ----+         +-- roles::Fabric: what one port learned, for the others
//! ```
//! `local` makes the agents' side from the configuration, `settled` turns what an agent says into what the switch does,
//! `agents` holds them together without a clock, so that the very same runs in virtual time, and `task` gives them one.
//!
//! What must not enter: the rules of the protocols (crate `lldp-dcbx`), the data path (it hands frames out and takes whole
//! [`crate::switch::operation::Operation`]s), and anything that writes a configuration: what is learned lives here only.

mod agents;
mod local;
mod settled;
mod task;
mod view;

#[cfg(test)]
mod tests;

pub use agents::{Agents, Output};
pub use local::Identity;
pub use task::{Agency, Frame};
