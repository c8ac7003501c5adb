//! Many ports, and more offered than the processor can carry. What is not in virtual time is on real TAPs and needs root;
//! one test at a time then (`--test-threads=1`), since most of them measure.

mod idle;
mod overload;
mod processor;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dcbridge-under-test");
