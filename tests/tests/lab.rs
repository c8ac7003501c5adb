//! `dcbridge lab` as a person or a script runs it: the real program, its exit code and its JSON.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dcbridge_tests::privilege::root_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dcbridge-under-test");
/// Shares may miss by this much, absolute.
const TOLERANCE: f64 = 0.01;

/// Runs that measure time must not measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lab(arguments: &str) -> Output {
    let output = Command::new(PROGRAM).arg("lab").args(arguments.split_whitespace()).output();
    output.expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The result of a run that passed.
#[track_caller]
fn passed(output: &Output) -> Value {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.starts_with(r#"{"scenario": "ets", "passed": true, "classes": [{"name": "#), "{out}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

fn classes(result: &Value) -> &Vec<Value> {
    result["classes"].as_array().expect("a list of classes")
}

fn frames(class: &Value, what: &str) -> u64 {
    class[what].as_u64().unwrap_or_else(|| panic!("{what} in {class}"))
}

/// Every class within its tolerance, and every frame that a host sent accounted for.
#[track_caller]
fn shares_hold_and_books_balance(result: &Value) {
    for class in classes(result) {
        let share = class["share"].as_f64().expect("a share");
        if let Some(target) = class["target_share"].as_f64() {
            assert!((share - target).abs() <= TOLERANCE, "{class}");
            assert!(
                frames(class, "offered_bps") > frames(class, "received_bps") * 5 / 4,
                "over-offered: {class}"
            );
        } else {
            assert_eq!(frames(class, "dropped_frames"), 0, "a strict class below the line rate: {class}");
        }
        let sum =
            ["received_frames", "dropped_frames", "lost_in_hosts_frames"].map(|what| frames(class, what));
        assert_eq!(frames(class, "offered_frames"), sum.iter().sum::<u64>(), "{class}");
        assert!(sum[0] > 100, "{class}");
    }
    let ets: f64 = classes(result)
        .iter()
        .filter(|c| !c["target_share"].is_null())
        .filter_map(|c| c["share"].as_f64())
        .sum();
    assert!((ets - 1.0).abs() < 1e-3, "shares of ETS classes make up the whole: {ets}");
}

/// A configuration of ETS classes with these weights, class `n` on priority `n`, the last one on all that remain.
fn config_of(weights: &[u8]) -> (tempfile::TempDir, PathBuf) {
    use std::fmt::Write as _;
    let mut toml = String::new();
    for (n, weight) in weights.iter().enumerate() {
        let until = if n + 1 == weights.len() { 8 } else { n + 1 };
        let priorities: Vec<usize> = (n..until).collect();
        let class =
            format!("name = \"c{n}\"\npriorities = {priorities:?}\ntsa = \"ets\"\nbandwidth = {weight}\n");
        writeln!(toml, "[[traffic_class]]\n{class}").expect("memory");
    }
    toml.push_str("[[port]]\nname = \"unused0\"\ntype = \"tap\"\n");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("classes.toml");
    std::fs::write(&path, toml).expect("a file");
    (dir, path)
}

#[test]
fn ets_shares_hold_on_taps() {
    if !root_for("the lab in network namespaces") {
        return;
    }
    let _alone = alone();
    let result = passed(&lab("--seconds 2 --rate 100Mbit --json"));
    shares_hold_and_books_balance(&result);
    assert_eq!(result["mode"], "netns");
    let names: Vec<&str> = classes(&result).iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["cluster", "storage", "default"]);
    assert_eq!(classes(&result)[0]["target_share"], Value::Null);
    assert_eq!(classes(&result)[1]["target_share"], 0.6);
}

#[test]
fn ets_shares_hold_for_frames_from_64_to_9000_bytes() {
    if !root_for("the lab with frames of mixed sizes") {
        return;
    }
    let _alone = alone();
    shares_hold_and_books_balance(&passed(&lab("--seconds 3 --rate 100Mbit --frame-size mixed --json")));
}

#[test]
fn ets_shares_hold_for_the_classes_of_a_file() {
    if !root_for("the lab with other classes") {
        return;
    }
    let _alone = alone();
    for weights in [&[60, 30, 10][..], &[1, 99], &[33, 33, 34], &[30, 20, 15, 10, 10, 7, 5, 3]] {
        let (_dir, path) = config_of(weights);
        let result = passed(&lab(&format!("--seconds 2 --rate 100Mbit --json --config {}", path.display())));
        shares_hold_and_books_balance(&result);
        assert_eq!(classes(&result).len(), weights.len());
        for (n, weight) in weights.iter().enumerate() {
            let name = format!("c{n}");
            let class = classes(&result).iter().find(|c| c["name"] == name.as_str()).expect("every class");
            let target = class["target_share"].as_f64().expect("a target");
            assert!((target - f64::from(*weight) / 100.0).abs() < 1e-4, "{class}");
        }
    }
}

#[test]
fn hosts_inside_the_process_need_no_privilege() {
    let _alone = alone();
    let result = passed(&lab("--mode inprocess --seconds 2 --rate 100Mbit --json"));
    shares_hold_and_books_balance(&result);
    assert_eq!(result["mode"], "inprocess");
}

/// Runs the lab as `nobody`, with a `/dev/net/tun` of this mode, in a mount namespace of its own: the machine's own
/// device is not touched.
fn as_nobody(tun_mode: &str, arguments: &str) -> Output {
    let script = r#"
        set -e
        dir=$1
        mount -t tmpfs -o mode=755 none "$dir"
        mknod "$dir/tun" c 10 200
        chmod "$2" "$dir/tun"
        mount --bind "$dir/tun" /dev/net/tun
        cp "$3" "$dir/dcbridge"
        shift 3
        exec setpriv --reuid 65534 --regid 65534 --clear-groups "$dir/dcbridge" lab "$@"
    "#;
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(dir.path()).args([tun_mode, PROGRAM]);
    command.args(arguments.split_whitespace()).output().expect("unshare and setpriv (util-linux) are there")
}

#[test]
fn without_root_a_user_namespace_serves_where_the_tun_device_is_open_to_all() {
    if !root_for("the lab as nobody, with a tun device that is open to all") {
        return;
    }
    let _alone = alone();
    let result = passed(&as_nobody("666", "--seconds 2 --rate 100Mbit --json"));
    shares_hold_and_books_balance(&result);
    assert_eq!(result["mode"], "userns");
}

#[test]
fn without_root_and_tun_the_hosts_are_in_the_process_and_it_says_why() {
    if !root_for("the lab as nobody, with a tun device of root's") {
        return;
    }
    let _alone = alone();
    let result = passed(&as_nobody("600", "--seconds 1 --rate 100Mbit --json"));
    assert_eq!(result["mode"], "inprocess");
    let reason = result["mode_reason"].as_str().unwrap_or_default();
    assert!(reason.contains("/dev/net/tun may only be opened by root"), "{reason}");
    let refused = as_nobody("600", "--mode netns --seconds 1");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--mode netns does not work here"), "{}", text(&refused.stderr));
}

#[test]
fn a_pipe_gets_the_table_and_the_verdict_without_colour() {
    let _alone = alone();
    let output = lab("--mode inprocess --seconds 1 --rate 100Mbit");
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
    assert!(out.contains("br0 ── 100 Mbit/s ──> sink") && out.contains("\nPASS: "), "{out}");
    assert_eq!(out.matches("\nstorage ").count(), 1, "one table: {out}");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn a_terminal_gets_a_table_that_is_redrawn() {
    let _alone = alone();
    let command = format!("stty cols 100; '{PROGRAM}' lab --mode inprocess --seconds 1 --rate 100Mbit");
    let output =
        Command::new("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]).output();
    let output = output.expect("script (bsdutils) is there");
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    let redrawn = out.matches("\r\u{1b}[").count();
    assert!(redrawn >= 4, "about every 250 ms: {redrawn} times in {out:?}");
    assert!(out.contains("of 1 s") && out.contains("PASS"), "progress, then the verdict: {out:?}");
}

/// Ends a run after the warm-up and takes its output.
fn interrupt(mut child: Child, after: Duration, signal: Signal) -> Output {
    std::thread::sleep(after);
    kill(Pid::from_raw(child.id() as i32), signal).expect("the lab still runs");
    let begin = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begin.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
            panic!("the lab did not end within 10 s of {signal}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut stdout = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut stdout).expect("its output");
    Output { status: child.wait().expect("a child"), stdout, stderr: Vec::new() }
}

#[test]
fn an_interrupted_run_shows_what_was_measured() {
    let _alone = alone();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let arguments = ["lab", "--mode", "inprocess", "--seconds", "60", "--rate", "100Mbit", "--json"];
        let child =
            Command::new(PROGRAM).args(arguments).stdout(Stdio::piped()).spawn().expect("the program starts");
        let result = passed(&interrupt(child, Duration::from_millis(2500), signal));
        assert_eq!(result["interrupted"], true);
        assert!(result["seconds"].as_f64().is_some_and(|s| s > 0.5 && s < 10.0), "{result}");
        shares_hold_and_books_balance(&result);
    }
}

/// Network namespaces that some process of this machine is in or holds open.
fn namespaces() -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
        for folder in ["fd", "ns"] {
            let Ok(links) = std::fs::read_dir(process.path().join(folder)) else { continue };
            let targets = links.flatten().filter_map(|l| std::fs::read_link(l.path()).ok());
            found.extend(targets.map(|t| t.display().to_string()).filter(|t| t.starts_with("net:")));
        }
    }
    found
}

#[test]
fn a_run_that_was_killed_leaves_nothing_behind() {
    if !root_for("the lab in network namespaces, killed") {
        return;
    }
    let _alone = alone();
    let before = namespaces();
    let mut child =
        Command::new(PROGRAM).args(["lab", "--seconds", "60", "--json"]).spawn().expect("the program starts");
    std::thread::sleep(Duration::from_millis(1500));
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
        .expect("it runs")
        .flatten()
        .filter_map(|l| Some(std::fs::read_link(l.path()).ok()?.display().to_string()))
        .filter(|t| t.starts_with("net:") && !before.contains(t))
        .collect();
    assert!(own.len() >= 4, "four hosts: {own:?}");
    child.kill().expect("it runs");
    child.wait().expect("a child");
    let after = namespaces();
    assert!(own.iter().all(|ns| !after.contains(ns)), "{own:?} in {after:?}");
}

#[test]
fn a_policy_that_takes_the_labs_frames_is_found_out() {
    let _alone = alone();
    let (_dir, path) = config_of(&[50, 50]);
    let policy = "[[policy]]\nname = \"all UDP\"\nmatch = { protocol = \"udp\" }\npriority = 0\n";
    let toml = std::fs::read_to_string(&path).expect("the file") + policy;
    std::fs::write(&path, toml).expect("the file");
    let output =
        lab(&format!("--mode inprocess --seconds 1 --rate 100Mbit --json --config {}", path.display()));
    assert_eq!(output.status.code(), Some(1));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["passed"], false);
    let notes = result["notes"].as_array().expect("notes");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].as_str().is_some_and(|n| n.contains("class \"c1\"") && n.contains("policy")),
        "{notes:?}"
    );
}

#[test]
fn what_can_not_be_done_is_refused_in_words() {
    let missing = lab("--config /nonexistent/classes.toml");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("/nonexistent/classes.toml"), "{}", text(&missing.stderr));
    let wrong = lab("--rate 10MB");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("in bytes"), "{}", text(&wrong.stderr));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("broken.toml");
    std::fs::write(&path, "[[traffic_class]]\nname = \"a\"\nbandwith = 3\n").expect("a file");
    let broken = lab(&format!("--config {}", path.display()));
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("bandwith"), "{}", text(&broken.stderr));
}
