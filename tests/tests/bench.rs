//! `dcbridge bench` on real namespaces: it measures, and leaves nothing behind however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dcbridge_tests::bench::{bench, row};
use dcbridge_tests::privilege::root_for;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dcbridge-under-test");
const TCP: &str = "--quick --switch dcbridge --switch loop-vnet --scenario tcp";
const PATIENCE: Duration = Duration::from_secs(20);

/// Processes that a bench of that number has started: they name its directory or its namespaces.
fn started_by(bench: u32) -> Vec<String> {
    let marks = [format!("/proc/{bench}/fd/"), format!("/run/dcbridge-bench-{bench}/")];
    let commands = fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
        let command = String::from_utf8(fs::read(process.path().join("cmdline")).ok()?).ok()?;
        Some(command.replace('\0', " "))
    });
    commands.filter(|command| marks.iter().any(|mark| command.contains(mark))).collect()
}

fn directory(bench: u32) -> PathBuf {
    Path::new("/run").join(format!("dcbridge-bench-{bench}"))
}

/// Interfaces of this namespace that a bench could have made.
fn interfaces() -> Vec<String> {
    let names = fs::read_dir("/sys/class/net").unwrap().flatten();
    let names = names.filter_map(|e| e.file_name().into_string().ok());
    names.filter(|n| n.starts_with("bench-") || n.starts_with("sw-")).collect()
}

fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn switch_and_loop_are_measured_in_one_run() {
    if !root_for("dcbridge bench") {
        return;
    }
    let report = bench(PROGRAM, TCP);
    for scenario in ["tcp-1", "tcp-4"] {
        for switch in ["dcbridge", "loop-vnet"] {
            for quantity in ["rate", "cpu", "machine-cpu", "resident"] {
                let row = row(&report, switch, scenario, quantity);
                assert!(row["value"].as_f64().is_some_and(|v| v > 0.0), "{row}");
                assert_eq!(row["n"], 2, "{row}");
                assert!(row["min"].as_f64() <= row["value"].as_f64(), "{row}");
            }
        }
        let (ours, other) =
            (row(&report, "dcbridge", scenario, "rate"), row(&report, "loop-vnet", scenario, "rate"));
        let product =
            ours["ratio_to"]["loop-vnet"].as_f64().unwrap() * other["ratio_to"]["dcbridge"].as_f64().unwrap();
        assert!((product - 1.0).abs() < 0.001, "{ours} {other}");
    }
    assert_eq!(interfaces(), [""; 0], "interfaces left behind");
}

#[test]
fn a_run_that_is_killed_takes_its_switches_along_and_the_next_one_tidies_up() {
    if !root_for("dcbridge bench that is killed") {
        return;
    }
    let mut command = Command::new(PROGRAM);
    command.arg("bench").args(TCP.split(' ')).args(["--seconds", "30"]);
    let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let number = killed.id();
    wait_until("two switches run", || started_by(number).len() == 2);
    assert!(directory(number).is_dir());
    killed.kill().unwrap();
    killed.wait().unwrap();
    wait_until("its switches end with it", || started_by(number).is_empty());
    assert_eq!(interfaces(), [""; 0], "interfaces left behind");
    bench(PROGRAM, "--quick --switch loop-vnet --scenario tcp-1 --repeat 1");
    assert!(!directory(number).exists(), "the next run removes what is nobody's");
}
