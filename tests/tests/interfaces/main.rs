//! The conformance list on real interfaces: the program on TAPs between namespaces, kernel sockets at both ends, counted
//! by the receiving kernel. Needs root. To be run one test at a time (`--test-threads=1`): most of them measure.

mod classify;
mod latency;
mod robustness;
mod shares;
mod tcp;
mod vlan;
mod workers;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dcbridge-under-test");
