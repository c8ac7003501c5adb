//! The whole list again, with switches of several workers: whoever does the work, nothing may be different.

use std::process::Command;

use dcbridge_tests::virtual_time::THREADS;

fn with(threads: &str) {
    if std::env::var_os(THREADS).is_some() {
        return;
    }
    let run = Command::new(std::env::current_exe().expect("this program")).env(THREADS, threads).output();
    let run = run.expect("it starts again");
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
