//! Scenarios, the conformance list, labs and benchmarks.

pub mod copyloop;
pub mod forward;
pub mod host;
pub mod packet;
pub mod privilege;
pub mod pump;
pub mod taps;
pub mod traffic;
pub mod veths;
