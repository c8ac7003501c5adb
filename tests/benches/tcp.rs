//! Kernel TCP between two TAP hosts, through the switch and through the plain copy loop in turns. Needs root. Prints
//! JSON; the target is a ratio of 0.8.

use dcbridge_tests::tcp_race::race;

fn main() {
    // `cargo test --benches` asks every benchmark to run once, for show.
    let rounds = if std::env::args().any(|a| a == "--test") { 1 } else { 9 };
    println!("{}", race(env!("CARGO_BIN_EXE_dcbridge-under-test"), rounds, 4 << 30).json());
}
