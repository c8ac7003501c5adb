//! A whole agent: frames, times, link changes and configurations in any order.
//!
//! `cargo fuzz run --sanitizer none agent -- -max_total_time=3600` in the folder `lldp-dcbx`; needs cargo-fuzz and a C++ compiler.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|script: &[u8]| common::targets::agent(script));
