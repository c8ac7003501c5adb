//! The scheduler: deterministic; no sockets, no clock, no threads; time arrives as `now`.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod ids;
pub mod time;

pub use ids::{FrameId, PortId, Priority};
pub use time::{Rate, Time, wire_bytes};
