//! Scenarios, the conformance list, labs and benchmarks.
