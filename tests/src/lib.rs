//! Scenarios, the conformance list, labs and benchmarks.

pub mod host;
pub mod packet;
pub mod privilege;
