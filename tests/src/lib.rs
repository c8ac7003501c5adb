//! Scenarios, the conformance list, labs and benchmarks.

pub mod bench;
pub mod conformance;
pub mod dcbx_peer;
pub mod deaf;
pub mod forward;
pub mod fuzz;
pub mod host;
pub mod live;
pub mod lldpad;
pub mod load;
pub mod packet;
pub mod plot;
pub mod privilege;
pub mod probe;
pub mod program;
pub mod pump;
pub mod taps;
pub mod traffic;
pub mod turns;
pub mod veths;
pub mod virtual_pfc;
pub mod virtual_time;
pub mod wide;
