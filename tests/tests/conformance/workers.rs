//! The whole list again, with switches of several workers: whoever does the work, nothing may be different.
//!
//! Of the shares at three line rates one is enough here: the others take minutes, and who works does not change with them.

use std::process::Command;

use dcbridge_tests::virtual_time::THREADS;

fn with(threads: &str) {
    if std::env::var_os(THREADS).is_some() {
        return;
    }
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.env(THREADS, threads).args(["--skip", "ets_shares_100g", "--skip", "ets_shares_400g"]);
    let run = again.output().expect("it starts again");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains(" passed"), "{threads} workers: {said}");
}

#[test]
fn everything_holds_with_two_workers() {
    with("2");
}

#[test]
fn everything_holds_with_four_workers() {
    with("4");
}
