//! Kernel TCP through the switch beside the plainest copy loop.

use dcbridge_tests::live::one_of_three;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::tcp_race::race;

use crate::PROGRAM;

/// The target is 0.8, which the benchmark shows (`cargo bench -p dcbridge-tests --bench tcp`). This bound only finds
/// what is badly broken: the program is built with checks here, and other work on the machine moves the ratio by a third.
const LEAST: f64 = 0.5;

#[test]
fn kernel_tcp() {
    if !root_for("kernel TCP between two TAPs") {
        return;
    }
    one_of_three("kernel TCP", || {
        let race = race(PROGRAM, 5, 2 << 30);
        let verdict = if race.ratio() >= LEAST {
            Ok(())
        } else {
            Err(format!("{LEAST} of the copy loop's rate are needed"))
        };
        (race.json(), verdict)
    });
}
