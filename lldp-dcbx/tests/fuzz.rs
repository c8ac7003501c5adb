//! A short, seeded smoke of what the fuzzers in `lldp-dcbx/fuzz` search for longer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Dice, targets};

/// Scripts of random octets, the same in every run.
fn scripts(seed: u64, count: usize, longest: usize, mut target: impl FnMut(&[u8])) {
    let mut dice = Dice(seed);
    for _ in 0..count {
        let length = dice.below(longest);
        let script: Vec<u8> = (0..length).map(|_| dice.roll() as u8).collect();
        target(&script);
    }
}

#[test]
fn any_octets_as_an_lldpdu() {
    scripts(0x11dd, 200_000, 200, targets::lldpdu);
}

#[test]
fn any_script_of_an_agent() {
    scripts(0xa9e7, 2_000, 2_000, targets::agent);
}
