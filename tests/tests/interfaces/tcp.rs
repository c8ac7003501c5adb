//! Kernel TCP through the switch beside the plainest copy loop.

use dcbridge_tests::bench::{bench, row};
use dcbridge_tests::live::one_of_three;
use dcbridge_tests::privilege::root_for;

use crate::PROGRAM;

/// The target is 0.8, which a release build shows (`dcbridge bench --scenario tcp`). This bound only finds what is badly
/// broken: the program is built with checks here, and other work on the machine moves the ratio by a third.
const LEAST: f64 = 0.5;

#[test]
fn kernel_tcp() {
    if !root_for("kernel TCP between two TAPs") {
        return;
    }
    one_of_three("kernel TCP", || {
        let report = bench(PROGRAM, "--scenario tcp-1 --switch dcbridge-one --switch loop-vnet --repeat 5");
        let rate = row(&report, "dcbridge-one", "tcp-1", "rate");
        let ratio = rate["ratio_to"]["loop-vnet"].as_f64().expect("a ratio");
        let verdict =
            if ratio >= LEAST { Ok(()) } else { Err(format!("{LEAST} of the copy loop's rate are needed")) };
        (rate.to_string(), verdict)
    });
}
