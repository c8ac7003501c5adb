//! The parser of LLDPDUs and of all their TLVs.
//!
//! `cargo fuzz run --sanitizer none lldpdu -- -max_total_time=3600` in the folder `lldp-dcbx`; needs cargo-fuzz and a C++ compiler.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|script: &[u8]| common::targets::lldpdu(script));
